"""The engine ``ray``: Ray Data, on one machine or many. The folder of the build must be one that all of them see.

``pip install "tunesmith[ray]"``. Where a cluster runs (``RAY_ADDRESS``) it is used; else Ray starts on this machine
with as many workers as asked for.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tunesmith.core.errors import DataError
from tunesmith.data.builds.engines.engine import ENGINES
from tunesmith.data.builds.worker import Done, Orders, Unit, work

WAVE = 256
"""Units that are given to Ray at a time; their pieces are in memory while they wait."""


@ENGINES.add("ray")
def ray(orders: Orders, units: Iterable[Unit], folder: Path, workers: int) -> Iterator[Done]:
    try:
        import ray
        import ray.data
    except ImportError:
        raise DataError('The engine `ray` needs Ray. Install it: pip install "tunesmith[ray]"') from None
    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    told = ray.put(orders)

    def do(row: dict[str, Any]) -> dict[str, Any]:
        done = work(ray.get(told), pickle.loads(row["unit"]), folder)
        return {"number": done.number, "done": pickle.dumps(done)}

    stream = iter(units)
    while wave := list(islice(stream, WAVE)):
        rows = ray.data.from_items([{"unit": pickle.dumps(unit)} for unit in wave], override_num_blocks=len(wave))
        found = {row["number"]: row["done"] for row in rows.map(do).iter_rows()}
        for unit in wave:
            yield pickle.loads(found[unit.number])
