"""Which reader a file is for: the forms that other trainers document, under all names that are in use."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.readers.rows import PARTS, TURNS
from tunesmith.core.errors import DataError
from tunesmith.core.types import Comparison, Conversation
from tunesmith.data import READERS, detect, task_of

PAIRS = [
    ("instruction", "response"), ("question", "answer"), ("input", "output"), ("prompt", "response"),
    ("prompt", "completion"), ("query", "response"), ("problem", "solution"), ("question", "response"),
    ("inputs", "targets"), ("input", "target"), ("instruction", "answer"), ("Question", "Answer"),
    ("INSTRUCTION", "RESPONSE"), ("prompt", "output"), ("user", "assistant"), ("human", "assistant"), ("q", "a"),
    ("问题", "答案"), ("问题", "回答"), ("指令", "回答"), ("指令", "输出"), ("输入", "输出"), ("提问", "回复"),
]  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def first(path: Path) -> Any:
    task = task_of(path)
    return next(iter(READERS[task.reader].read(task)))


@pytest.mark.parametrize("end", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(("asked", "said"), PAIRS)
def test_two_columns_are_known_by_sight(asked: str, said: str, end: str, tmp_path: Path) -> None:
    rows = [{asked: f"What is {i} + 1?", said: f"It is {i + 1}."} for i in range(3)]
    row = first(write(tmp_path / f"rows.{end}", rows))
    assert isinstance(row, Conversation)
    assert [(m.role, m.content) for m in row.messages] == [("user", "What is 0 + 1?"), ("assistant", "It is 1.")]
    more = [{"id": i, **row, "source": "web", "system_prompt": "Be brief."} for i, row in enumerate(rows)]
    row = first(write(tmp_path / f"more.{end}", more))
    messages = [(m.role, m.content) for m in row.messages]
    assert messages[-2:] == [("user", "What is 0 + 1?"), ("assistant", "It is 1.")]
    if (asked, said) not in (("prompt", "completion"), ("inputs", "targets")) or len(messages) == 3:
        assert messages[0] == ("system", "Be brief.")


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Who?", "answer": "A", "choices": "A, B"},
        {"question": "Who?", "answer": "A", "context": "A sat."},
        {"question": "Who?", "answer": "A", "response": "B"},
        {"input": "1", "question": "Who?", "answer": "A"},
        {"premise": "a", "hypothesis": "b", "label": "c"},
        {"question": "Who?", "answer": 5},
    ],
)
def test_columns_that_belong_to_the_question_need_a_template(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"Paste these lines into rows.yaml(.|\n)*task: rows\ncluster: rows\nlanguage: en\n"
    ):
        task_of(write(tmp_path / "rows.jsonl", [row, row]))


ASKED, SAID = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}
OTHER = {"role": "assistant", "content": "No."}

FORMS: list[tuple[str, dict[str, Any], str, type]] = [
    # TRL's documented forms
    ("trl messages", {"messages": [ASKED, SAID]}, "messages", Conversation),
    ("trl prompt-completion", {"prompt": "Hi?", "completion": "Yes."}, "prompt_completion", Conversation),
    ("trl prompt-completion talk", {"prompt": [ASKED], "completion": [SAID]}, "prompt_completion", Conversation),
    ("trl preference", {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}, "preference", Comparison),
    ("trl preference talk", {"prompt": [ASKED], "chosen": [SAID], "rejected": [OTHER]}, "preference", Comparison),
    ("trl implicit", {"chosen": [ASKED, SAID], "rejected": [ASKED, OTHER]}, "preference", Comparison),
    ("trl unpaired", {"prompt": "Hi?", "completion": "Yes.", "label": True}, "preference", Comparison),
    ("trl unpaired talk", {"prompt": [ASKED], "completion": [SAID], "label": False}, "preference", Comparison),
    # LLaMA-Factory's
    (
        "lf alpaca",
        {"instruction": "Hi?", "input": "", "output": "Yes.", "history": [["a", "b"]]},
        "alpaca",
        Conversation,
    ),
    ("lf sharegpt", {"conversations": TURNS, "tools": "[]"}, "sharegpt", Conversation),
    (
        "lf alpaca pair",
        {"instruction": "Hi?", "input": "", "chosen": "Yes.", "rejected": "No."},
        "preference",
        Comparison,
    ),
    (
        "lf sharegpt pair",
        {"conversations": TURNS[:1], "chosen": TURNS[3], "rejected": {"from": "gpt", "value": "No."}},
        "preference",
        Comparison,
    ),
    ("lf kto", {"messages": [ASKED, SAID], "label": True}, "preference", Comparison),
    ("lf v1 sft", {"messages": PARTS}, "messages", Conversation),
    ("lf v1 dpo", {"chosen_messages": PARTS, "rejected_messages": [PARTS[0], OTHER]}, "preference", Comparison),
    # Axolotl's
    ("axolotl alpaca", {"instruction": "Hi?", "output": "Yes."}, "alpaca", Conversation),
    ("axolotl oasst", {"INSTRUCTION": "Hi?", "RESPONSE": "Yes."}, "prompt_completion", Conversation),
    ("axolotl gpteacher", {"instruction": "Hi?", "input": "x", "response": "Yes."}, "alpaca", Conversation),
    (
        "axolotl orca",
        {"system_prompt": "Be.", "question": "Hi?", "response": "Yes."},
        "prompt_completion",
        Conversation,
    ),
    ("axolotl chat_template", {"messages": [ASKED, {**SAID, "train": True}]}, "messages", Conversation),
    (
        "axolotl sharegpt",
        {"conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yes."}]},
        "sharegpt",
        Conversation,
    ),
]


@pytest.mark.parametrize(("name", "row", "reader", "kind"), FORMS, ids=[form[0] for form in FORMS])
def test_the_forms_of_other_trainers(name: str, row: dict[str, Any], reader: str, kind: type, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [row, row])
    assert detect(path).reader == reader
    assert isinstance(first(path), kind), first(path)


def test_rows_inside_of_an_object(tmp_path: Path) -> None:
    """BIG-Bench's form; the rows are named by their places."""
    path = tmp_path / "task.json"
    rows = [{"input": f"{i} + 1?", "target": f"{i + 1}"} for i in range(9)]
    path.write_text(json.dumps({"name": "add", "keywords": ["x"], "examples": [*rows, {"input": 5, "target": "6"}]}))
    found = detect(path)
    assert found.reader == "prompt_completion" and dict(found.settings) == {"rows": "examples"}
    task = task_of(path)
    *good, bad = READERS[task.reader].read(task)
    assert [str(row.source) for row in good] == [f"{path}#1#{i}" for i in range(1, 10)]
    assert str(bad.source) == f"{path}#1#10" and bad.reason.startswith("`input` is 5")  # type: ignore[union-attr]
