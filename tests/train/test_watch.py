"""A collective operation that waits for somebody who does not come is told, with who is where."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tunesmith.train.watch import report

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
import torch
torch.set_num_threads(1)
from tunesmith.train import watch
watch.AFTER, watch.LOOK = 1.0, 0.1
from tunesmith.train.parallel import Ranks
ranks = Ranks.join()
watch.at("step 3")
def dawdles():
    while not done.exists():
        time.sleep(0.05)
from pathlib import Path
done = Path(sys.argv[1])
if ranks.rank == 1:
    watch.at("step 4")
    dawdles()
print(ranks.sums(1.0), flush=True)
"""


def test_it_is_told_who_waits_where(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = tmp_path / "done"
    processes = []
    for rank in (0, 1):
        env = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", PROGRAM, str(done)]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env, cwd=ROOT))
    said = ""
    assert processes[0].stderr is not None
    for line in processes[0].stderr:  # comes when it comes, on whatever machine
        said += line
        if "Look at the rank" in line:
            break
    done.touch()
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and "[2.0]" in out  # nobody was ended by it
    assert "rank 0, step 3: waits for the others" in said and "train/parallel.py" in said
    assert "rank 1, step 4: computes or does something else" in said and "in dawdles" in said


def test_the_report_by_hand() -> None:
    states = [
        {"place": "step 2", "waits": True, "seconds": 41, "stack": ["a.py:3 in add"]},
        {"place": "step 2", "waits": False, "seconds": 7, "stack": ["b.py:9 in read"]},
    ]
    assert report(json.loads(json.dumps(states))).splitlines()[1:5] == [
        "  rank 0, step 2: waits for the others, for 41 s at this line",
        "      a.py:3 in add",
        "  rank 1, step 2: computes or does something else, for 7 s at this line",
        "      b.py:9 in read",
    ]
