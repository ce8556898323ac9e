"""Which tests a change needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("changed", Path(__file__).parents[1] / "tools" / "changed.py")
assert SPEC is not None and SPEC.loader is not None
changed = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(changed)


def test_its_own_the_rooms_or_itself() -> None:
    always = list(changed.ALWAYS)
    assert changed.tests_of([]) == always
    assert changed.tests_of(["src/tunesmith/train/optim.py"]) == [*always, "tests/train/test_optim.py"]
    plan = "tests/plan/test_plan.py"
    assert changed.tests_of([plan, "tests/plan/gone/test_x.py"]) == [*always, plan]
    assert changed.tests_of(["docs/errors.md"]) == [*always, "tests/test_docs.py"]
    # A file without a test of its own: what stands in its room.
    room = changed.tests_of(["src/tunesmith/plan/rng.py"])
    assert plan in room and all(p.startswith("tests/plan/") for p in room[2:])
    assert all((changed.ROOT / path).is_file() for path in room)
