"""The same build by any engine, with any number of workers, and after any number of kills."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunesmith.core.errors import DataError
from tunesmith.data import HeldOut, Summary, Task, build_to, load_tasks
from tunesmith.data.clean import Cleaning
from tunesmith.data.files import file
from tunesmith.data.store import comparisons, conversations

WISH = HeldOut(clusters=("animals",), instance_fraction=0.1, wordings={"capital.en": ("choose",)})
CHATS = 3000
CLEANING = {"near": {"of": "prompt", "threshold": 0.6}, "novelty": {"threshold": 0.9}, "diverse": {"rows": 2000}}
EVERY = Cleaning.model_validate({**CLEANING, "quality": True, "private": True, "length": {"answer_most": 4}})
RUN = """
import sys
from pathlib import Path
from tunesmith.data import HeldOut, build_to, load_tasks
from tunesmith.data.clean import Cleaning
from tunesmith.data.files import file
file.PIECE_ROWS = 100
if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    wish = HeldOut(clusters=("animals",), instance_fraction=0.1, wordings={"capital.en": ("choose",)})
    tasks = load_tasks([folder, folder / "chats.jsonl", folder / "pairs.json"])
    cleaning = Cleaning.model_validate({"near": {"of": "prompt", "threshold": 0.6}, "diverse": {"rows": 2000}})
    build_to(out, tasks, wish, seed=1, workers=2, cleaning=cleaning)
    print("done")
"""


@pytest.fixture
def tasks(world: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Tasks with templates, a file of conversations in many pieces, and one of comparisons."""
    monkeypatch.setattr(file, "PIECE_ROWS", 100)
    said = [
        {
            "messages": [
                {"role": "user", "content": f"Say {i % 2900}."},
                {"role": "assistant", "content": f"{i}" if i % 50 else "one two three four five"},
            ]
        }
        for i in range(CHATS)
    ]
    lines = [json.dumps(row) for row in said]
    lines[70] = "broken"
    (tmp_path / "chats.jsonl").write_text("\n".join(lines))
    pairs = [{"prompt": f"Ask {i}?", "chosen": "yes", "rejected": "no"} for i in range(250)]
    pairs += [{"prompt": f"Say {i}.", "chosen": "well", "rejected": "what"} for i in range(250)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    return load_tasks([tmp_path, tmp_path / "chats.jsonl", tmp_path / "pairs.json"])


def digests(out: Path) -> dict[str, str]:
    """Every file of a build, by its content."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def built(out: Path, tasks: list[Task], engine: str = "local", workers: int = 1) -> Summary:
    return build_to(
        out, tasks, WISH, seed=1, per_level=50, shots=(0, 1), cleaning=EVERY, engine=engine, workers=workers
    )


def test_any_number_of_workers_writes_the_same_bytes(tasks: list[Task], tmp_path: Path) -> None:
    one = built(tmp_path / "1", tasks)
    wanted = digests(tmp_path / "1")
    for workers in (2, 4):
        assert built(tmp_path / str(workers), tasks, workers=workers) == one
        assert digests(tmp_path / str(workers)) == wanted
    assert set(wanted) == {
        *("train.instruction/00000.parquet", "proof.instruction.json", "proof.instruction.parquet"),
        *("held_out.instruction.0.parquet", "held_out.instruction.1.parquet", "set_aside.instruction.jsonl"),
        *("unused.instruction.parquet", "unused.compared.parquet", "manifest.instruction.json"),
        *("compared.train.parquet", "compared.held_out.parquet"),
    }
    step = one.ledger["rows in words"]
    assert one.ledger["rows read"].aside == {"is not JSON": 1}
    assert step.rows_in == CHATS - 1 + 500 + 24 and sum(step.out.values()) + sum(step.aside.values()) == step.rows_in


def test_comparisons_keep_to_the_split(tasks: list[Task], tmp_path: Path) -> None:
    summary = built(tmp_path / "out", tasks)
    trained = list(comparisons(tmp_path / "out/compared.train.parquet"))
    held = list(comparisons(tmp_path / "out/compared.held_out.parquet"))
    chats = list(conversations(*(tmp_path / "out/train.instruction").glob("*.parquet")))
    assert summary.comparisons == len(trained) and 100 < len(trained) < 400 and 20 < len(held) < 100
    assert summary.counts["train"] == len(chats)
    asked = {c.messages[0].content for c in chats} | {c.prompt[0].content for c in trained}
    assert asked.isdisjoint(c.prompt[0].content for c in held)


def test_a_killed_build_goes_on_and_writes_the_same_bytes(tasks: list[Task], tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    out, kills, most = tmp_path / "killed", 0, 0
    while True:
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.PIPE, start_new_session=True)
        began, done = time.monotonic(), len(list(out.glob("work.*/*.json")))
        # Killed as soon as it has done some more units than before; when there are no more, it is let go.
        while process.poll() is None and time.monotonic() - began < 60:
            now = len(list(out.glob("work.*/*.json")))
            if kills < 4 and now > done + 3:
                os.killpg(process.pid, signal.SIGKILL)
                kills, most = kills + 1, max(most, now)
                break
            time.sleep(0.002)
        assert process.stdout is not None
        if b"done" in process.stdout.read():
            break
        process.wait()
    assert kills >= 2 and most >= 8
    assert digests(out) == digests(tmp_path / "whole")


def test_other_orders_do_not_use_what_lies_there(tasks: list[Task], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DataError, match="cluster 'nowhere' is not known"):
        build_to(out, tasks, HeldOut(clusters=("nowhere",)), seed=1)
    assert len(list(out.glob("work.instruction/*.json"))) > 30
    built(out, tasks)
    built(tmp_path / "fresh", tasks)
    assert digests(out) == digests(tmp_path / "fresh")


@pytest.mark.full
def test_ray_writes_the_same_bytes(tasks: list[Task], tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tunesmith[ray]'")
    try:
        assert built(tmp_path / "ray", tasks, "ray", workers=2) == built(tmp_path / "local", tasks)
        assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    finally:
        ray.shutdown()
