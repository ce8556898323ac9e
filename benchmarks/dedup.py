"""Near-duplicates among 100,000 rows: tunesmith and datatrove's MinHash, and how right both are.

    python benchmarks/dedup.py [--rows 100000] [--repeats 3] [--peer-python .venv-peers/bin/python]

Both sides read the same JSON lines and name the rows to drop, in one process each, with word 5-grams, 14 bands of 8
values and 64-bit keys. datatrove gets its whitespace tokenizer, which is faster than the one it uses by default, and
the time counts from its first stage to the end of its clusters, without its imports. The sides take turns.

The rows are texts of the T0 mixture, one of each kind only, and copies of some with a few words changed, whose overlap
(Jaccard of the sets of word 5-grams) is worked out by itself. Recall is the share of planted copies of 0.8 or more that
are found; a false merge is a dropped row whose overlap with every other row that was planted with it is below 0.7, or
that was not planted at all and overlaps nothing. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BANDS, VALUES = 14, 8

PEER = r"""
import json, sys, time, struct
from pathlib import Path
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature, MinhashDedupBuckets
from datatrove.pipeline.dedup.minhash import MinhashDedupCluster
from datatrove.pipeline.readers import JsonlReader
from datatrove.utils.hashing import HashConfig
from datatrove.utils.word_tokenizers import WhitespaceTokenizer
from loguru import logger
logger.remove()
file, out = sys.argv[1], Path(sys.argv[2])
config = MinhashConfig(
    n_grams=5, num_buckets=int(sys.argv[3]), hashes_per_bucket=int(sys.argv[4]), hash_config=HashConfig(precision=64)
)
sign = MinhashDedupSignature(str(out / "signatures"), config, language="en")
sign.word_tokenizer = WhitespaceTokenizer()
began = time.perf_counter()
docs = JsonlReader(str(Path(file).parent), glob_pattern=Path(file).name, doc_progress=False)
sign.run(docs.run(None, 0, 1), 0, 1)
buckets = MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets"), config=config)
for rank in range(config.num_buckets):
    buckets.run(None, rank, config.num_buckets)
MinhashDedupCluster(str(out / "buckets"), str(out / "removed"), config=config).run(None, 0, 1)
seconds = time.perf_counter() - began
removed = [n for p in (out / "removed").glob("*.remove") for (n,) in struct.iter_unpack("<I", p.read_bytes())]
print(json.dumps({"seconds": seconds, "removed": sorted(removed)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    args = parser.parse_args()
    texts, planted = rows(args.rows)
    times: dict[str, list[float]] = {"tunesmith": [], "datatrove": []}
    removed: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows" / "rows.jsonl"
        file.parent.mkdir()
        with file.open("w", encoding="utf-8") as lines:
            for number, text in enumerate(texts):
                lines.write(json.dumps({"id": str(number), "text": text}) + "\n")
        for turn in range(args.repeats):
            seconds, removed["tunesmith"] = ours(file)
            times["tunesmith"].append(seconds)
            told = subprocess.run(
                [args.peer_python, "-c", PEER, str(file), f"{folder}/{turn}", str(BANDS), str(VALUES)],
                capture_output=True,
                text=True,
            )
            if told.returncode:
                raise SystemExit(f"datatrove failed:\n{told.stderr[-2000:]}")
            found = json.loads(told.stdout.splitlines()[-1])
            times["datatrove"].append(found["seconds"])
            removed["datatrove"] = found["removed"]
            print(f"  tunesmith {times['tunesmith'][-1]:.1f} s, datatrove {times['datatrove'][-1]:.1f} s")
        _, removed["tunesmith, 20 bands of 6"] = ours(file, 20, 6)
    middle = {name: statistics.median(values) for name, values in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times["tunesmith"], times["datatrove"], strict=True))
    result = {
        "rows": len(texts),
        "seconds": {name: round(value, 2) for name, value in middle.items()},
        "rows_per_second": {name: round(len(texts) / value) for name, value in middle.items()},
        "times_faster": round(ratio, 1),
        **{name: quality(texts, planted, found) for name, found in removed.items()},
    }
    print(json.dumps(result))


def ours(file: Path, bands: int = BANDS, values: int = VALUES) -> tuple[float, list[int]]:
    """From the file to the rows to drop."""
    from tunesmith.data.clean.near import duplicates, prints

    began = time.perf_counter()
    with file.open(encoding="utf-8") as lines:
        keepers = duplicates(prints((json.loads(line)["text"] for line in lines), bands, values))
    return time.perf_counter() - began, [i for i, keeper in enumerate(keepers.tolist()) if keeper != i]


def rows(count: int) -> tuple[list[str], dict[int, int]]:
    """Texts, and which of them are changed copies of which."""
    path = ROOT.parent / "shared" / "data" / "t0_train_50k.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: this benchmark needs the T0 rows.")
    draw = random.Random(1)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        values = [json.loads(line) for line in lines]
    words = sorted({w for value in values[:2000] for w in value["prompt"].split() if w.isalpha()})
    texts = [f"{value['prompt']} {value['completion']}" for value in values]
    planted: dict[int, int] = {}
    sources = [i for i, text in enumerate(texts) if len(text.split()) >= 40]
    while len(texts) < count:
        source = draw.choice(sources)
        copy = texts[source].split()
        for _ in range(max(1, int(len(copy) * draw.choice((0.005, 0.01, 0.015, 0.03, 0.1))))):
            copy[draw.randrange(len(copy))] = draw.choice(words)
        planted[len(texts)] = source
        texts.append(" ".join(copy))
    return texts[:count], planted


def grams(text: str) -> set[tuple[str, ...]]:
    """The word 5-grams of a text, worked out the plain way."""
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def overlap(a: str, b: str) -> float:
    x, y = grams(a), grams(b)
    return len(x & y) / len(x | y)


def quality(texts: list[str], planted: dict[int, int], removed: list[int]) -> dict[str, float]:
    """Recall of what was planted, and the share of dropped rows that are like no other."""
    # A copy and its source, or two copies of it: one of them may stay, whichever a side prefers.
    families: dict[int, list[int]] = {}
    for copy, source in planted.items():
        families.setdefault(source, [source]).append(copy)
    gone = set(removed)
    close = found = 0
    for copy, source in planted.items():
        if overlap(texts[copy], texts[source]) >= 0.8:
            close += 1
            # Found, if either was dropped: no side keeps both of a pair that it found.
            found += copy in gone or source in gone
    false = 0
    for row in removed:
        family = families.get(planted.get(row, row), [])
        if not any(other != row and overlap(texts[row], texts[other]) >= 0.7 for other in family):
            false += not _like_any(texts, row)
    return {
        "dropped": len(removed),
        "planted_at_0.8": close,
        "recall": round(found / close, 4),
        "false_merges": round(false / max(1, len(removed)), 5),
    }


_index: dict[tuple[str, ...], list[int]] = {}


def _like_any(texts: list[str], row: int) -> bool:
    """Whether any other row overlaps with this one by 0.7 or more, by an index of all 5-grams."""
    if not _index:
        for i, text in enumerate(texts):
            for gram in grams(text):
                _index.setdefault(gram, []).append(i)
    seen: dict[int, int] = {}
    for gram in grams(texts[row]):
        for other in _index[gram]:
            seen[other] = seen.get(other, 0) + 1
    seen.pop(row, None)
    best = sorted(seen, key=lambda i: -seen[i])[:50]
    return any(overlap(texts[row], texts[other]) >= 0.7 for other in best)


if __name__ == "__main__":
    sys.exit(main())
