"""How fast training rows are compared with evaluation sets, and what is found.

    python benchmarks/leaks.py [--pairs 3]

The T0 mixture of 55,185 rows against the test questions of GSM8K, MT-Bench and the user-oriented instructions, on one
core; then the training questions of GSM8K against its test questions. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tunesmith.core.types import Source
from tunesmith.data.leaks.audit import Audit
from tunesmith.data.leaks.item import Item
from tunesmith.data.text.words import words

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def lines(name: str) -> list[Any]:
    path = DATA / name
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def gsm8k(part: str) -> list[Item]:
    rows = lines(f"gsm8k_{part}.jsonl.gz")
    return [Item(f"{part}/{i}", (r["question"],), (), "", Source(part, i)) for i, r in enumerate(rows, 1)]


def timed(audit: Audit, rows: Iterable[Item]) -> float:
    start = time.perf_counter()
    for row in rows:
        audit.look(row)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="worst pairs shown of each kind")
    pairs = parser.parse_args().pairs
    user = lines("user_oriented_instructions.jsonl")
    sets = {
        "gsm8k": [
            Item(f"gsm8k/{i}", (r["question"],), (r["answer"],)) for i, r in enumerate(lines("gsm8k_test.jsonl.gz"))
        ],
        "mt_bench": [Item(str(r["question_id"]), tuple(r["turns"])) for r in lines("mt_bench_question.jsonl")],
        "user_oriented": [
            Item(f"{r['id']}/{i}", (f"{r['instruction']}\n\n{one['input']}",), (one["output"],))
            for r in user
            for i, one in enumerate(r["instances"])
        ],
    }
    rows = [
        Item(f"t0/{i}", (r["prompt"],), (r["completion"].removesuffix("<|endoftext|>"),))
        for i, r in enumerate(lines("t0_train_50k.jsonl.gz"))
    ]
    start = time.perf_counter()
    audit = Audit(sets)
    index = time.perf_counter() - start
    seconds = timed(audit, rows)
    print(audit.report().table(pairs), end="\n\n")
    own = Audit({"gsm8k test": gsm8k("test")})
    timed(own, gsm8k("train"))
    print(own.report().table(pairs), end="\n\n")
    length = sum(len(words(text)) for row in rows for text in row.prompt + row.answer) / len(rows)
    print(
        json.dumps(
            {
                "rows": len(rows),
                "words_per_row": round(length, 1),
                "index_s": round(index, 2),
                "seconds": round(seconds, 2),
                "rows_per_s": round(len(rows) / seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
