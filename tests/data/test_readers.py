"""Files of one's own as tasks: fields, ids, options; and bad lines set aside with file, line and reason."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tunesmith.core.errors import DataError
from tunesmith.core.types import Conversation, SetAside
from tunesmith.data import Task, draw_options, load_tasks, read
from tunesmith.data.files import stream
from tunesmith.data.load.examples import placed
from tunesmith.data.store import of_table, to_table
from tunesmith.data.tasks.reader import READERS, Record
from tunesmith.evals.metrics import METRICS, Answer

Make = Callable[..., Task]
NOISE = [f'{{"x": "row {i}", "y": "{i}", "noise": "{hashlib.sha256(b"%d" % i).hexdigest()}"}}' for i in range(3000)]


def aside(task: Task, tmp_path: Path) -> list[tuple[int, str]]:
    return [(s.source.line, s.reason.replace(str(tmp_path) + "/", "")) for s in read([task]).set_aside]


def test_jsonl_bad_lines_are_set_aside(task_of: Make, tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"x": "one", "y": "1"}',
        b"",
        b'{"x": "two", ',
        b'{"x": "\xff", "y": "3"}',
        b'["x"]',
        b'{"x": "\\ud800", "y": "6"}',
        b'{"x": "seven"}',
        b'{"x": "one", "y": "1"}',
        b'{"x": "nine", "y": 9}',
        b"[" * 100_000,
    ]
    task = task_of("rows.jsonl", b"\n".join(lines))
    found = read([task])
    assert [(e.fields["x"], e.answers, e.source.line) for e in found.examples["t.en"]] == [
        ("one", ("1",), 1),
        ("nine", ("9",), 9),
    ]
    told = sorted(aside(task, tmp_path))
    assert [line for line, _ in told] == [3, 4, 5, 6, 7, 8, 10]
    assert [reason for _, reason in told][1:6] == [
        "is not UTF-8: byte 8 is 0xff",
        "is a list, wanted an object",
        "holds half a surrogate pair, which is not Unicode text",
        "has no answer",
        "has an id that an earlier row has: rows.jsonl:1",
    ]
    assert told[0][1].startswith("is not JSON: ") and told[6][1].startswith("is not JSON: ")
    assert found.rows == 9


@pytest.mark.parametrize(
    ("end", "pack"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstandard.compress)],
)
def test_compressed_files_are_read_as_they_are(end: str, pack: Callable[[bytes], bytes], task_of: Make) -> None:
    found = read([task_of(f"rows.jsonl.{end}", pack("\n".join(NOISE).encode()))])
    assert len(found.examples["t.en"]) == 3000 and not found.set_aside
    assert found.examples["t.en"][6].fields["x"] == "row 6"
    (table,) = read([task_of(f"rows.tsv.{end}", pack(b"x\ty\none\t1\n"))]).examples["t.en"]
    assert table.fields["x"] == "one"


@pytest.mark.parametrize(("end", "pack"), [("gz", gzip.compress), ("xz", lzma.compress), ("zst", zstandard.compress)])
def test_a_cut_file_gives_what_it_holds(end: str, pack: Callable[[bytes], bytes], task_of: Make) -> None:
    whole = pack("\n".join(NOISE).encode())
    cut = read([task_of(f"rows.jsonl.{end}", whole[: len(whole) // 2])])
    rows = cut.examples["t.en"]
    assert len(rows) > 1000 and [s.source.line for s in cut.set_aside] == [len(rows) + 1]
    assert cut.set_aside[0].reason.startswith("cannot be read on from here: ")
    table = read(
        [
            task_of(
                f"rows.csv.{end}",
                pack("\n".join(["x,y", *(row.replace(",", ";") + ",1" for row in NOISE)]).encode())[:-999],
            )
        ]
    )
    assert any(s.reason.startswith("cannot be read on from here: ") for s in table.set_aside)


def test_a_file_of_which_nothing_can_be_read_says_why(task_of: Make) -> None:
    with pytest.raises(DataError, match=r"no usable row .*; of 1 row set aside .*\.bz2:1, cannot be read"):
        read([task_of("rows.jsonl.bz2", bz2.compress("\n".join(NOISE).encode())[:5000])])


def test_a_line_that_is_too_long_is_set_aside_and_never_held(
    task_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 100)
    long = '{"x": "' + "a" * 250 + '", "y": "1"}'
    even = '{"x": "' + "b" * 79 + '", "y": "1"}'
    assert len(even) == 98
    task = task_of("rows.jsonl", f'{long}\n{{"x": "two", "y": "2"}}\n{even}\n{even}  {{\n{long}')
    assert [e.source.line for e in read([task]).examples["t.en"]] == [2, 3]
    told = aside(task, tmp_path)
    assert told[0] == (1, "is a line of 270 bytes, more than 100") and told[2][0] == 5
    assert [line for line, _ in told] == [1, 4, 5]


def test_fields_ids_groups_and_lists(task_of: Make) -> None:
    row = '{"q": {"text": "2+2?"}, "gold": ["4", "four"], "key": 7, "doc": "d1", "choices": ["3", "4", "5"]}\n'
    task = task_of(
        "rows.jsonl",
        row,
        ["answer: y", "options: c", "fields: {x: q.text, y: gold, c: choices}", "id: key", "group: doc"],
    )
    (example,) = read([task]).examples["t.en"]
    assert (example.id, example.group) == ("t.en/7", "d1")
    assert example.fields == {"x": "2+2?", "y": "4", "c": "3\n4\n5"}
    assert example.answers == ("4", "four")
    assert example.options == ("3", "4", "5")


def test_the_default_id_is_of_the_content_and_not_of_the_line(task_of: Make) -> None:
    a, b = '{"x": "a", "y": "1"}\n', '{"x": "b", "y": "2"}\n'
    one = {e.fields["x"]: e.id for e in read([task_of("rows.jsonl", a + b)]).examples["t.en"]}
    two = {e.fields["x"]: e.id for e in read([task_of("rows.jsonl", b + a)]).examples["t.en"]}
    assert one == two and one["a"] != one["b"]


def test_csv_bad_rows_are_set_aside(task_of: Make, tmp_path: Path) -> None:
    text = b'\xef\xbb\xbfx,y\n"two\nlines",1\nonly\na,b,c\n\n\xff,2\n"q""q",3\nlast,4\n"open,5\nrest,6\n'
    task = task_of("rows.csv", text)
    found = read([task])
    assert [(e.fields["x"], e.answers[0], e.source.line) for e in found.examples["t.en"]] == [
        ("two\nlines", "1", 2),
        ('q"q', "3", 8),
        ("last", "4", 9),
        ("rest", "6", 11),
    ]
    assert aside(task, tmp_path) == [
        (4, "has 1 column, wanted 2"),
        (5, "has 3 columns, wanted 2"),
        (7, "is not UTF-8: byte 0xff"),
        (10, "is not CSV: a quote is opened and not closed"),
    ]


def test_tabs_and_a_column_named_twice(task_of: Make) -> None:
    task = task_of("rows.tsv", "x\ty\na, b\t1\n")
    assert read([task]).examples["t.en"][0].fields == {"x": "a, b", "y": "1"}
    with pytest.raises(DataError, match=r"rows.csv:1: the column 'x' is named twice"):
        read([task_of("rows.csv", "x,x\n1,2\n")])


def test_a_field_that_no_row_has_is_an_error_and_not_a_loss(task_of: Make) -> None:
    task = task_of("rows.csv", "y,question\n1,2\n")
    with pytest.raises(
        DataError, match=r"t.en.yaml:\d+: no row of task 't.en' has a field 'x'; known: question, y"
    ) as told:
        read([task])
    assert len(str(told.value).splitlines()) == 2  # of `input`, and of the template
    with pytest.raises(DataError, match="no usable row"):
        read([task_of("rows.csv", "x,y\n")])


def test_options_hold_the_right_answer_in_every_position() -> None:
    pool = [f"a{i}" for i in range(30)]
    positions = set()
    seen = set()
    for i in range(300):
        answer = pool[i % 30]
        options = draw_options(f"t/{i}", (answer, "a29"), pool, 4)
        assert len(set(options)) == 4 and answer in options
        assert "a29" not in options or answer == "a29"  # another right answer is no distractor
        assert options == draw_options(f"t/{i}", (answer, "a29"), pool, 4)
        positions.add(options.index(answer))
        seen.update(options)
    assert positions == {0, 1, 2, 3}
    assert len(seen) == 30


def test_options_of_a_small_task() -> None:
    assert set(draw_options("t/1", ("a",), ["a", "b", "c"], 3)) == {"a", "b", "c"}
    assert set(draw_options("t/1", ("a",), ["a", "b"], 4)) == {"a", "b"}
    assert draw_options("t/1", ("a",), ["a"], 4) == ("a",)


def test_set_aside_names_the_row(task_of: Make, tmp_path: Path) -> None:
    (row,) = read([task_of("rows.jsonl", '{"x": "a", "y": "1"}\nnot json\n')]).set_aside
    assert isinstance(row, SetAside) and str(row.source) == f"{tmp_path}/rows.jsonl:2"


def test_rows_of_a_known_shape_under_other_names(tmp_path: Path) -> None:
    """An explicit mapping, for every reader of rows: a column, or something deeper in the row."""
    (tmp_path / "rows.csv").write_text("q,a\nWhat is 1 + 1?,2\n,3\n")
    (tmp_path / "chats.jsonl").write_text(
        '{"data": {"talk": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}}\n'
        '{"data": {"other": 1}}\n'
    )
    head = "cluster: c\nlanguage: en\n"
    (tmp_path / "a.yaml").write_text(
        f"task: a\n{head}reader: prompt_completion\npath: rows.csv\nfields: {{prompt: q, completion: a}}\n"
    )
    (tmp_path / "b.yaml").write_text(
        f"task: b\n{head}reader: messages\npath: chats.jsonl\nfields: {{messages: data.talk}}\n"
    )
    found = read(load_tasks(tmp_path))
    said = {id: [[m.content for m in row.messages] for row in rows] for id, rows in found.conversations.items()}
    assert said == {"a.en": [["What is 1 + 1?", "2"]], "b.en": [["Hi", "Hello"]]}
    assert [row.reason for row in found.set_aside][1:] == [
        "has no `data.talk`, which the task's `fields` takes for `messages`"
    ]
    assert len(found.set_aside) == 2


def rows_of(reader: str, tmp_path: Path, *rows: object) -> list[object]:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task("x.en", "c", "en", "x", reader, (), settings={"path": tmp_path / "rows.jsonl"})
    return [placed(task, r) if isinstance(r, Conversation) else r for r in READERS[reader].read(task)]


def test_questions_of_ifeval_bring_their_constraints(tmp_path: Path) -> None:
    good = {
        "key": 1000,
        "prompt": "Say it without commas.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"num_words": 3, "relation": "at least", "keyword": None}],
    }
    row, bad = rows_of("ifeval", tmp_path, good, {**good, "kwargs": [{}]})
    assert isinstance(row, Conversation) and isinstance(bad, SetAside) and "2 constraints with 1" in bad.reason
    assert row.id == "x.en/1000@x.en/as_is" and row.metric == "constraints" and row.answers == ()
    assert row.checks[1] == {"id": "length_constraints:number_words", "num_words": 3, "relation": "at least"}
    assert METRICS["constraints"](Answer("One two three."), row) == 1
    assert METRICS["constraints"](Answer("One, two three."), row) == 0
    assert list(of_table(to_table([row]))) == [row], "stores keep them"


def test_programs_of_humaneval_and_mbpp_bring_their_tests(tmp_path: Path) -> None:
    human = {
        "task_id": "HumanEval/0",
        "prompt": "def half(x):\n    '''Half of it.'''\n",
        "canonical_solution": "    return x / 2\n",
        "test": "def check(candidate):\n    assert candidate(3) == 1.5\n",
        "entry_point": "half",
    }
    mbpp = {
        "task_id": 11,
        "text": "Halve a number.",
        "code": "def half(x):\n    return x / 2",
        "test_list": ["assert half(3) == 1.5"],
    }
    for reader, given in (("humaneval", human), ("mbpp", mbpp)):
        (row,) = rows_of(reader, tmp_path, given)
        assert isinstance(row, Conversation) and row.metric == "passes" and row.messages[-1].role == "assistant"
        assert METRICS["passes"](Answer(row.answers[0]), row) == 1
        assert METRICS["passes"](Answer(row.answers[0].replace("/", "*")), row) == 0
    (row, aside) = rows_of("mbpp", tmp_path, mbpp, {**mbpp, "test_list": [3]})
    assert isinstance(aside, SetAside)


def test_values_of_parquet_that_json_has_not(tmp_path: Path) -> None:
    import datetime
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"x": "one", "y": decimal.Decimal("1.50"), "day": datetime.date(2024, 5, 17), "z": float("nan"), "n": 2.5},
        {"x": "two", "y": decimal.Decimal("2.50"), "day": datetime.date(2024, 5, 18), "z": 1.0, "n": 3.0},
    ]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    task = Task("x.en", "c", "en", "x", "table", (), settings={"path": path})
    one, two = READERS["table"].read(task)
    assert isinstance(one, Record) and isinstance(two, Record)
    assert one.fields == {"x": "one", "y": "1.50", "day": "2024-05-17", "n": "2.5"} and two.fields["z"] == "1.0"
    pq.write_table(pa.Table.from_pylist([{"x": "one", "picture": {"bytes": b"\x89PNG", "path": "a.png"}}]), path)
    (row,) = READERS["table"].read(task)
    assert isinstance(row, SetAside) and "the column 'picture' holds bytes, which is no text" in row.reason
    named = Task("x.en", "c", "en", "x", "table", (), settings={"path": path, "fields": {"x": "x"}})
    assert [row.fields for row in READERS["table"].read(named) if isinstance(row, Record)] == [{"x": "one"}]


def test_rows_inside_of_a_file(tmp_path: Path) -> None:
    """A task file names the path to them, also deeper."""
    value = {"set": {"train": [{"x": "a", "y": "1"}, {"x": "b", "y": "2"}, "broken"]}}
    (tmp_path / "rows.json").write_text(json.dumps(value))
    task = Task("x.en", "c", "en", "x", "table", (), settings={"path": tmp_path / "rows.json", "rows": "set.train"})
    found = list(READERS["table"].read(task))
    assert [row.fields["x"] for row in found if isinstance(row, Record)] == ["a", "b"]
    assert [str(row.source).rpartition("/")[2] for row in found] == [f"rows.json#1#{i}" for i in (1, 2, 3)]
    other = Task("x.en", "c", "en", "x", "table", (), settings={"path": tmp_path / "rows.json", "rows": "set.test"})
    (aside,) = READERS["table"].read(other)
    assert isinstance(aside, SetAside) and aside.reason.startswith("has no list under `set.test`")
