"""Files whose names do not say what they are: read where that is certain, and told; else an error with the command."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tunesmith.core.errors import DataError
from tunesmith.core.types import SetAside
from tunesmith.data.files import Row, rows
from tunesmith.data.files.look import look

TALK = [{"q": f"Wie heißt das {i}? 你好，请问这个问题怎么回答", "a": f"naïve “{i}” 😀"} for i in range(50)]
CHINESE = [
    {
        "q": f"我们的第{i}个问题是：在中国，人们为什么要学习这种方法？",
        "a": "因为这样可以让大家都得到更好的生活，这是不会错的。",
    }
    for i in range(30)
]
FRENCH = [{"q": f"Où est passé l'été {i} ?", "a": "Là-bas, près de la forêt."} for i in range(30)]


def lines(values: list[dict[str, str]], end: str = "\n") -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in values)


def table(values: list[dict[str, str]], separator: str = ",", end: str = "\n") -> str:
    cells = [[f'"{cell}"' for cell in row.values()] for row in values]
    return end.join(separator.join(row) for row in [list(values[0]), *cells]) + end


def good(path: Path) -> list[Any]:
    return [row.value for row in rows(path) if isinstance(row, Row)]


def bad(path: Path) -> list[SetAside]:
    return [row for row in rows(path) if isinstance(row, SetAside)]


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.txt", "rows.jsonl.gz"])
def test_utf16_and_utf32(name: str, encoding: str, mark: bool, tmp_path: Path) -> None:
    text = {"json": json.dumps(TALK, ensure_ascii=False), "csv": table(TALK), "txt": "Ä\r\nb\r\n"}
    content = text.get(name.partition(".")[2], lines(TALK))
    raw = (("\ufeff" if mark else "") + content).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert good(path) == (["Ä", "b"] if name == "rows.txt" else TALK) and not bad(path)
    why = "by its byte order mark" if mark else "by its zero bytes"
    assert look(path).notes == (f"its encoding is {encoding.upper()}, {why}",)


def test_half_a_character_of_utf16_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    half = '{"q": "'.encode("utf-16-le") + b"\x00\xd8" + '"}\n'.encode("utf-16-le")
    path.write_bytes(b"\xff\xfe" + lines(TALK[:2]).encode("utf-16-le") + half + lines(TALK[2:4]).encode("utf-16-le"))
    assert good(path) == TALK[:4]
    (row,) = bad(path)
    assert str(row.source).endswith(":3") and row.reason.startswith("is not UTF-8")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_chinese_in_gbk_is_read(name: str, tmp_path: Path) -> None:
    text = {"rows.json": json.dumps(CHINESE, ensure_ascii=False), "rows.csv": table(CHINESE)}
    raw = text.get(name, lines(CHINESE)).encode("gbk")
    path = tmp_path / name
    path.write_bytes(raw)
    assert good(path) == CHINESE and not bad(path)
    assert look(path).notes == ("its encoding is GB18030 (GBK), by its most frequent characters",)
    if name == "rows.jsonl":
        path.write_bytes(raw + b'{"q": "\xff\xff", "a": "x"}\n')
        assert good(path) == CHINESE and [row.reason[:12] for row in bad(path)] == ["is not UTF-8"]


@pytest.mark.parametrize(
    ("values", "encoding", "told"),
    [
        (FRENCH, "latin-1", "it looks like CP1252"),
        (
            [{"q": "我們的問題是：在中國，人們為什麼要學習？", "a": "這樣可以讓大家得到更好的生活。"}] * 9,
            "big5",
            "BIG5",
        ),
        (
            [{"q": "これは何ですか。わたしにもわかるように", "a": "それはとてもいいものです。"}] * 9,
            "shift_jis",
            "SHIFT_JIS",
        ),
        ([{"q": "이것은 무엇입니까", "a": "그것은 아주 좋은 것이다. 이 나라의 도시는 크다."}] * 9, "euc_kr", "EUC-KR"),
    ],
)
def test_what_is_not_certain_says_how_to_convert(
    values: list[dict[str, str]], encoding: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(values).encode(encoding))
    assert len(bad(path)) == len(values) and not good(path)
    (note,) = look(path).notes
    assert told in note and f"-t UTF-8 {path.name} > utf8_{path.name}" in note
    header = tmp_path / "rows.csv"
    header.write_bytes("größe,q\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"rows.csv:1: the first row, which names the columns, is not UTF-8.* iconv -f"):
        good(header)


@pytest.mark.parametrize(
    "text", ['{"a": "x\0y"}\n' * 9, '{"a":"\0"}', "\0", json.dumps(CHINESE, ensure_ascii=False) + "\0"]
)
def test_a_zero_in_a_text_does_not_make_it_utf16(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text, encoding="utf-8")
    assert look(path).encoding == "utf-8"


def test_a_damaged_line_is_no_other_encoding(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(TALK).encode() + b'{"q": "\xe9t\xe9"}\n')
    assert good(path) == TALK and len(bad(path)) == 1
    assert look(path).encoding == "utf-8"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv", "rows.txt"])
def test_lines_that_end_in_cr_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    text = {"rows.csv": table(TALK, end="\r"), "rows.txt": "a\rb\r"}.get(name, lines(TALK, "\r"))
    path.write_bytes(text.encode())
    assert good(path) == (["a", "b"] if name == "rows.txt" else TALK)
    assert look(path).notes[0] == "its lines end in CR alone"
    path.write_bytes(text.replace("\r", "\r\n").encode())
    assert good(path) == (["a", "b"] if name == "rows.txt" else TALK) and look(path).notes == ()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("tool", PACK)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_compressed_files_without_its_name(tool: str, name: str, tmp_path: Path) -> None:
    text = {"rows.json": json.dumps(TALK), "rows.csv": table(TALK)}.get(name, lines(TALK))
    path = tmp_path / name
    path.write_bytes(PACK[tool](text.encode()))
    assert good(path) == TALK
    assert look(path).notes == (f"it is compressed with {tool}, which its name does not say",)
    plain = tmp_path / f"plain{name}.gz"
    plain.write_text(text)
    assert good(plain) == TALK and look(plain).notes == ("it is not compressed, which its name does not say",)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_named_jsonl(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(TALK, indent=indent))
    assert good(path) == TALK and look(path).notes == ("it is JSON, not a value a line: read as .json",)
    path.write_text("\n".join(json.dumps(row, indent=2) for row in TALK))
    assert good(path) == TALK
    text = tmp_path / "rows.txt"
    text.write_text(lines(TALK))
    assert good(text) == TALK and look(text).notes == ("it is JSON lines: read as .jsonl",)


def test_lines_are_lines_where_they_can_be(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for text, count in (('{"a": \n{"a": 1}\n', 1), ("[1, 2\n[3]\n", 1), ('["x"]\n["y"]\n', 2), ("", 0)):
        path.write_text(text)
        assert len(good(path)) == count and look(path).kind == ""


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_columns_that_are_separated_otherwise(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(table(TALK, separator), encoding="utf-8")
    assert good(path) == TALK and look(path).notes == (f"its columns are separated by {separator!r}",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"PK\x03\x04\x14\x00\x00\x00[Content_Types].xml xl/workbook.xml", "is an Excel workbook. Save it as CSV"),
        (b"PK\x03\x04\x14\x00\x00\x00rows.jsonl", "is a zip archive. Unpack it, and name the files in it: unzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<html>", "is a web page, not data"),
    ],
)
def test_what_is_no_data_at_all(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told):
        good(path)


@pytest.mark.parametrize("after", [1, 30, 3000])
@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_open_quote_costs_its_own_row(end: str, quoted: bool, after: int, tmp_path: Path) -> None:
    """Wherever the next quote is; a row over several lines behind it is whole."""
    cell = '"%d"' if quoted else "%d"
    rows_after = [f"{cell % i},{cell % i}" for i in range(after)]
    path = tmp_path / "rows.csv"
    text = end.join(["x,y", "1,2", 'bad,"open', *rows_after, '"two' + end + 'lines",3', "last,4", ""])
    path.write_bytes(text.encode())
    found = good(path)
    assert [row["x"] for row in found] == ["1", *map(str, range(after)), f"two{end}lines", "last"]
    assert [(str(row.source).rpartition(":")[2], row.reason) for row in bad(path)] == [
        ("3", "is not CSV: a quote is opened and not closed")
    ]
    assert [row.source.line for row in rows(path)] == [2, 3, *range(4, 4 + after), 4 + after, 6 + after]


def test_a_cell_of_many_lines_is_one_cell(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    poem = "\n".join(f"line {i}, and more" for i in range(40))
    path.write_text(f'x,y\n"{poem}",1\n"{poem}",2,extra\n"{poem}"oops,3\nlast,4\n')
    assert [row["x"] for row in good(path)] == [poem, "last"]
    assert len(bad(path)) == 2
