"""Nothing is wrapped where there is no terminal, and long work says how far it is."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from tunesmith.core import screen


def plain(width: int = 80) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=False), file


def test_a_long_line_is_one_line_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "error: " + "/very/long/path" * 40
    screen.console().print(text)
    assert capsys.readouterr().out == text + "\n"


def test_a_table_is_not_cut_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("name", box=None)
    table.add_row("x" * 300)
    screen.console().print(table)
    assert "x" * 300 in capsys.readouterr().out


def test_long_work_writes_a_line_at_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "EVERY", 0.01)
    on, file = plain()
    with screen.progress("questions", on) as tell:
        tell(120, 400)
        # However busy the machine is: the lines come, also when the work does not call.
        deadline = time.monotonic() + 30
        while file.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = file.getvalue().splitlines()
    assert len(lines) >= 3
    assert all("questions: 120 of 400 (30%)" in line and line.endswith(" left") for line in lines)


def test_short_work_writes_nothing() -> None:
    on, file = plain()
    with screen.progress("questions", on) as tell:
        tell(1, 2)
    assert file.getvalue() == ""


def test_nothing_is_written_after_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "EVERY", 0.001)
    on, file = plain()
    with pytest.raises(ValueError), screen.progress("questions", on):
        raise ValueError
    before = file.getvalue()
    time.sleep(0.05)
    assert file.getvalue() == before


def test_the_rate_is_that_of_the_work_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(screen.time, "monotonic", lambda: now)
    work = screen.Work("build")
    assert work.line() == "build: begun 0.0 s ago"
    now = 10.0
    work.tell(1000, None, "read")
    now = 12.0
    work.tell(1400, None, "read")
    assert work.line() == "build: read: 1,400, 200/s"
    work.tell(5, 20, "write")
    now = 22.0
    work.tell(10, 20, "write")
    assert work.line() == "build: write: 10 of 20 (50%), 0.5/s, 20 s left"


def test_a_bar_on_a_terminal() -> None:
    file = io.StringIO()
    with screen.progress("questions", Console(file=file, force_terminal=True, width=100)) as tell:
        tell(120, 400)
    assert "questions" in file.getvalue() and "120/400" in file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.2, "12 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")]
)
def test_clock(seconds: float, text: str) -> None:
    assert screen.clock(seconds) == text
