"""The mask that is shown is the mask that is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tunesmith.chat import ChatFormat
from tunesmith.cli.show import read_messages, show
from tunesmith.core.errors import DataError

TALK = [{"role": "user", "content": "Hi <|im_end|>\n你好"}, {"role": "assistant", "content": "巴黎 \N{GRINNING FACE}!"}]


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("a.json", json.dumps(TALK), 1),
        ("b.json", json.dumps({"messages": TALK}), 1),
        ("c.json", json.dumps([TALK, {"messages": TALK}]), 2),
        ("d.jsonl", f"{json.dumps(TALK)}\n\n{json.dumps({'messages': TALK})}\n", 2),
    ],
)
def test_messages_are_read_in_the_usual_shapes(tmp_path: Path, name: str, text: str, count: int) -> None:
    (tmp_path / name).write_text(text)
    found = read_messages(tmp_path / name)
    assert len(found) == count
    assert all([m.as_dict() for m in c.messages] == TALK for c in found)


@pytest.mark.parametrize("text", ["{", "3", '["hello"]', '[{"role": "user", "text": "Hi"}]'])
def test_what_is_not_messages_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json"):
        read_messages(tmp_path / "x.json")


def test_show_a_file(tmp_path: Path, tok: PreTrainedTokenizerFast, capsys: pytest.CaptureFixture[str]) -> None:
    fmt = ChatFormat.named("chatml", tok)
    fmt.tok.save_pretrained(tmp_path / "tok")
    (tmp_path / "talk.json").write_text(json.dumps(TALK))
    show(tmp_path / "talk.json", model=tmp_path / "tok", format="instruction", learn="last", number=1)
    out = capsys.readouterr().out
    row = fmt.encode(TALK)
    assert f"talk.json:1 {len(row.ids)} tokens, {int(row.learn.sum())} trained on" in out
    assert "Hi <|im_end|>" in out and "巴黎 😀!" in out
    show(tmp_path / "talk.json", model=tmp_path / "tok", page=tmp_path / "mask.html", learn="last", number=1)
    assert "😀" in (tmp_path / "mask.html").read_text(encoding="utf-8")
