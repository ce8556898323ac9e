"""YAML 1.2 as a person means it, with the line of everything; and what no person writes is refused in a sentence."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.core.document import MOST_DEEP, MOST_VALUES, Document, written

PACKAGE = Path(__file__).parents[2] / "src" / "tunesmith"


def read(text: str, **how: Any) -> Any:
    found = Document.read(text, "my.yaml", **how)
    assert not found.problems, found.problems
    return found.value


def problems(text: str, **how: Any) -> list[str]:
    found = Document.read(text, "my.yaml", **how)
    assert found.problems and found.value is None
    return found.report(list(found.problems)).splitlines()[1:]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # What the core schema of YAML 1.2.2, section 10.3.2, gives as its own example, and what 1.1 made of the rest.
        ("true", True),
        ("FALSE", False),
        ("on", "on"),
        ("Off", "Off"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("y", "y"),
        ("~", None),
        ("Null", None),
        ("0", 0),
        ("010", 10),
        ("0o10", 8),
        ("0x3A", 58),
        ("-19", -19),
        ("+12", 12),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("2026-11-27", "2026-11-27"),
        ("2026-99-99", "2026-99-99"),
        ("0.", 0.0),
        ("-0.0", 0.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("+12e03", 12000.0),
        ("-2E+05", -200000.0),
        ("-.INF", -math.inf),
        (".inf", math.inf),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!float 12", 12.0),
        ("!!int 12", 12),
        ("|\n  1\n", "1\n"),
    ],
)
def test_scalars_are_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = read(f"a: {text}")["a"]
    assert found == value and type(found) is type(value)


def test_keys_are_texts_and_null_has_an_empty_value() -> None:
    assert read("{on: 1, 4: 2, 1.0: 3, true: 4, 2026-01-01: 5, a: , b}") == {
        "on": 1, "4": 2, "1.0": 3, "true": 4, "2026-01-01": 5, "a": None, "b": None,
    }  # fmt: skip


def test_without_types_every_scalar_is_what_was_written() -> None:
    assert read("a: [no, 1.0, 0x1F, '', ~, 2026-01-01]", typed=False) == {
        "a": ["no", "1.0", "0x1F", "", "~", "2026-01-01"]
    }


def test_merged_keys_and_their_lines() -> None:
    document = Document.read(
        "a: &a\n  x: 1\n  y: 2\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 5\nd: {<<: *a}\n", "f"
    )
    assert document.value["c"] == {"x": 5, "y": 2, "z": 4}
    assert document.value["d"] == {"x": 1, "y": 2}
    where = [("c", "x"), ("c", "y"), ("c", "z"), ("d", "x"), ("d", "nothing"), ("nowhere",)]
    assert [document.line(place) for place in where] == [7, 3, 4, 2, 8, 1]
    assert read("'<<': 1") == {"<<": 1}


def test_an_alias_is_a_copy() -> None:
    found = read("a: &a {x: [1]}\nb: *a\nc: {<<: *a}\n*s : 1\n".replace("*s : 1", "&s d: *s"))
    found["a"]["x"].append(2)
    assert found["b"] == found["c"] == {"x": [1]}
    assert found["d"] == "d"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: *x", "my.yaml:1: there is no anchor &x above this alias"),
        ("a: &a\n  b: [*a]", "my.yaml:2: a.b[0]: an alias that contains itself"),
        ("a: 1\nb: 2\na: 3", "my.yaml:3: a: this key is given twice; first on line 1"),
        ("a:\n  {b: 1}: 2", "my.yaml:2: a: this key is not a plain name"),
        ("a: 1\nb: !!int abc", "my.yaml:2: b: 'abc' is not what !!int says"),
        ("!!float x", "my.yaml:1: 'x' is not what !!float says"),
        ("a: !!python/object/apply:os.system [l]", "my.yaml:1: a: the tag !!python/object/apply:os.system is"),
        ("a: !Template {b: 1}", "my.yaml:1: a: the tag !Template is not read here; write plain values"),
        ("a: !!timestamp 2026-01-01", "my.yaml:1: a: the tag !!timestamp is not read here"),
        ("a: !!binary aGk=", "my.yaml:1: a: the tag !!binary is not read here"),
        ("a: !!set {b}", "my.yaml:1: a: the tag !!set is not read here"),
        ("a: 1\n---\nb: 2", "my.yaml:2: a second document begins here (---)"),
        ("a: 1\nb: " + "7" * 5000, "my.yaml:2: b: a number with 5,000 digits"),
        ("a: {<<: 3}", "my.yaml:1: a.<<: << is wanted with a mapping"),
        ("a: 1\nb: \x00", "my.yaml:2: the character '\\x00' cannot be in a YAML file"),
        ("a: \udc80", "my.yaml:1: the character '\\udc80' cannot be in a YAML file"),
        ("a: b: c", "my.yaml:1: this is not YAML: mapping values are not allowed"),
        ("a:\n\tb: 1", "my.yaml:2: this is not YAML: found character "),
        ("# nothing", "my.yaml:1: the file is empty"),
        ("[" * 99 + "]" * 99 + "\n\n" + "]", "my.yaml:3: this is not YAML: "),
        ("[" * 101 + "]" * 101, f"my.yaml:1: more than {MOST_DEEP} levels"),
        ("[" * 5000, "my.yaml:1: "),
        ("{a: " * 5000, f"my.yaml:1: more than {MOST_DEEP} levels"),
        ("- " * 5000 + "1", f"my.yaml:1: more than {MOST_DEEP} levels"),
    ],
)  # fmt: skip
def test_what_is_told(text: str, told: str) -> None:
    assert problems(text)[0].startswith(told)


def test_all_problems_of_a_file_at_once() -> None:
    assert problems("a: !x 1\nb: 2\nb: 3\nc:\n  - d: !!int y\n") == [
        "my.yaml:1: a: the tag !x is not read here; write plain values",
        "my.yaml:3: b: this key is given twice; first on line 2",
        "my.yaml:5: c[0].d: 'y' is not what !!int says",
    ]
    many = problems("\n".join("a: 1" for _ in range(3000)))
    assert len(many) == 51 and many[-1] == "and 2,949 more"


def laughs(levels: int, merge: bool = False) -> str:
    rows = ["a0: &a0 {x: 1}"]
    for i in range(1, levels):
        of = ", ".join([f"*a{i - 1}"] * 9)
        rows.append(f"a{i}: &a{i} " + (f"{{<<: [{of}], k{i}: *a{i - 1}}}" if merge else f"[{of}]"))
    return "\n".join(rows)


@pytest.mark.parametrize("merge", [False, True])
def test_a_billion_laughs_are_refused_at_once(merge: bool) -> None:
    began = time.process_time()
    assert f"more than {MOST_VALUES:,} values" in problems(laughs(40, merge))[0]
    assert time.process_time() - began < 1
    assert len(read(laughs(5, merge))) == 5
    deep = "\n".join(["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 200))])
    assert f"more than {MOST_DEEP} levels, aliases written out" in problems(deep)[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("ключ: 值\n".encode("utf-16"), None),
        ("ключ: 值\n".encode("utf-8-sig"), None),
        ("a: 1\n".encode("utf-16-le"), "my.yaml:1: the character '\\x00' cannot be in a YAML file"),
        (b"a: 1\nb: \xff\n", "my.yaml:2: this line is not UTF-8; save the file as UTF-8"),
        (b"a: 1\nb: caf\xe9\n", "my.yaml:2: this line is not UTF-8; save the file as UTF-8"),
        (b"\x7fELF\x02\x01\x01" + bytes(200), "my.yaml:1: the character '\\x7f' cannot be in a YAML file"),
        (b"\xff\xfea", "my.yaml:1: this line is not UTF-16"),
        (b"# " + b"x" * (33 << 20), "my.yaml:1: this file is larger than 32 MB"),
    ],
)
def test_files(tmp_path: Path, data: bytes, told: str | None) -> None:
    (tmp_path / "my.yaml").write_bytes(data)
    document = Document.open(tmp_path / "my.yaml", "my.yaml")
    if told is None:
        assert document.value == {"ключ": "值"}
    else:
        assert document.report(list(document.problems)).splitlines()[1].startswith(told)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in Document.open(tmp_path).problems[0].what
    assert "cannot be read: No such file" in Document.open(tmp_path / "x").problems[0].what
    assert "cannot be read" in Document.open(Path("x\0y")).problems[0].what
    assert "larger than 32 MB" in Document.open(Path("/dev/zero")).problems[0].what


def test_every_shipped_file_reads_as_a_reference_reads_it() -> None:
    """They use nothing in which YAML 1.1 and 1.2 differ."""
    files = sorted(PACKAGE.rglob("*.yaml"))
    assert len(files) > 200
    for file in files:
        reference = yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        assert _texts(Document.open(file).value) == _texts(reference), file


def _texts(value: Any) -> Any:
    """Keys of a reference may be numbers."""
    if isinstance(value, dict):
        return {str(key): _texts(item) for key, item in value.items()}
    return [_texts(item) for item in value] if isinstance(value, list) else value


def test_what_is_written_is_read_back() -> None:
    hard = [
        *("on", "no", "1e3", "0o14", "010", "1_0", "12:30", "2026-01-01", "~", "", " a", "null", "=", "<<", "a: b"),
        *("# x", "é\n\n b ", "- 1", "*a", "&a", "!x", "\x07", "\u2028", "😀", ".inf", "1.", "+1", "0x1F", "true"),
    ]
    draw = random.Random(1)
    values: list[Any] = [*hard, True, None, 0, -7, 10**20, 1e-05, 0.1, 1e300, math.inf, 3.0]

    def made(depth: int) -> Any:
        kind = draw.choice("svvlm") if depth else "v"
        if kind == "l":
            return [made(depth - 1) for _ in range(draw.randrange(4))]
        if kind == "m":
            return {draw.choice(hard): made(depth - 1) for _ in range(draw.randrange(4))}
        return draw.choice(values)

    for value in [*values, *(made(4) for _ in range(300))]:
        found = read(written({"a": value}))
        assert repr(found) == repr({"a": value})
