"""Self-Instruct's novelty filter: tunesmith, and `rouge_score` on each candidate against each.

    python benchmarks/novelty.py [--pool 9229] [--peer 1200] [--repeats 3] [--whole]

The pool is 9,229 instructions of Alpaca; a text is kept if its ROUGE-L with all kept before is 0.7 or less. The peer
scores all pairs as the authors' code does, on the first ``--peer`` of the pool; its time for the whole pool is that per
pair times the pairs of the whole. Decisions are compared on that part, and on as many changed copies of it. ``--whole``
scores every pair of the whole pool with `rouge_score` on all cores (20 minutes on two) and compares all decisions. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tunesmith.data.clean.novelty import Novelty

ROOT = Path(__file__).resolve().parents[1]
THRESHOLD = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=int, default=9229)
    parser.add_argument("--peer", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", action="store_true")
    args = parser.parse_args()
    path = ROOT.parent / "shared" / "data" / "alpaca_random_9k.json.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: this benchmark needs the pool of instructions.")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        pool = [row["instruction"] for row in json.load(file)][: args.pool]
    part = pool[: args.peer]
    draw = random.Random(1)
    copies = [text for t in part[: args.peer // 2] for text in (t, changed(t, draw))]
    ours, theirs = [], []
    for _ in range(args.repeats):
        began = time.perf_counter()
        decided(pool)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        expected = scored(part)
        theirs.append((time.perf_counter() - began) / (len(part) * (len(part) - 1) / 2))
        print(f"  tunesmith {ours[-1]:.2f} s for the pool, rouge_score {theirs[-1] * 1e6:.1f} us a pair")
    same = decided(part) == expected and decided(copies) == scored(copies)
    pairs = len(pool) * (len(pool) - 1) / 2
    result = {
        "pool": len(pool),
        "seconds": round(statistics.median(ours), 3),
        "kept": sum(decided(pool)),
        "peer_seconds_for_all_pairs": round(statistics.median(theirs) * pairs),
        "times_faster": round(statistics.median(b * pairs / a for a, b in zip(ours, theirs, strict=True))),
        "decisions_the_same": same,
        "dropped_of_changed_copies": len(copies) - sum(decided(copies)),
    }
    if args.whole:
        result["whole_pool_the_same"] = whole(pool) == decided(pool)
    print(json.dumps(result))


def decided(texts: list[str]) -> list[bool]:
    novelty = Novelty(THRESHOLD)
    return [novelty.add(text) is None for text in texts]


def scored(texts: list[str]) -> list[bool]:
    """Each against each that is kept, with the texts cut into words once, as the authors do."""
    from rouge_score import rouge_scorer, tokenizers

    words = [tokenizers.DefaultTokenizer(use_stemmer=False).tokenize(text) for text in texts]
    kept: list[list[str]] = []
    found = []
    for mine in words:
        like = any(rouge_scorer._score_lcs(mine, other).fmeasure > THRESHOLD for other in kept)
        found.append(not like)
        if not like:
            kept.append(mine)
    return found


def whole(texts: list[str]) -> list[bool]:
    """The same for many texts: every pair scored, on all cores, then decided in order."""
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(texts,)) as pool:
        alike = list(pool.map(_alike, range(len(texts)), chunksize=32))
    kept: set[int] = set()
    for i, others in enumerate(alike):
        if not kept.intersection(others):
            kept.add(i)
    return [i in kept for i in range(len(texts))]


_words: list[list[str]] = []


def _begin(texts: list[str]) -> None:
    from rouge_score import tokenizers

    cut = tokenizers.DefaultTokenizer(use_stemmer=False)
    _words.extend(cut.tokenize(text) for text in texts)


def _alike(i: int) -> list[int]:
    from rouge_score import rouge_scorer

    return [j for j in range(i) if rouge_scorer._score_lcs(_words[i], _words[j]).fmeasure > THRESHOLD]


def changed(text: str, draw: random.Random) -> str:
    """A copy with up to three other words."""
    words = text.split()
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        words[draw.randrange(len(words))] = draw.choice(("the", "other", "river"))
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
