"""Two columns that are a question and its answer, by what the field calls them.

    pair_of(row)      the names of the two columns, or None
    is_about(name)    whether a column says something about a row, such as its id

The first forms are known whatever else a row holds. Of the others a row is known only where its further columns cannot
be part of the question: a row with ``choices`` or a ``passage`` needs a template that puts them into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

SURE = (("prompt", "completion"), ("inputs_pretokenized", "targets_pretokenized"), ("inputs", "targets"))
_QUESTIONS = (
    "instruction", "question", "input", "prompt", "query", "problem", "user", "human", "source_text", "q",
    "指令", "问题", "提问", "输入", "问", "题目", "用户",
)  # fmt: skip
_ANSWERS = (
    "response", "answer", "output", "completion", "solution", "target", "reply", "assistant", "gpt", "bot", "a",
    "target_text", "回答", "答案", "输出", "回复", "答", "解答", "助手", "答复",
)  # fmt: skip
SYSTEM = ("system", "system_prompt", "system_message", "系统", "系统提示")
_ABOUT = frozenset([
    *SYSTEM,
    "id", "_id", "idx", "index", "uid", "uuid", "key", "no", "row", "question_id", "prompt_id",
    "source", "src", "origin", "dataset", "data_source", "category", "subcategory", "topic", "subject",
    "domain", "type", "task_type", "difficulty", "level", "tag", "tags", "lang", "language", "split",
    "url", "link", "license", "licence", "author", "model", "model_name", "generator", "date",
    "created", "created_at", "timestamp", "time", "score", "quality", "length", "num_tokens", "hash",
    "__index_level_0__", "编号", "序号", "来源", "类别", "类型", "分类", "", "unnamed: 0",
])  # fmt: skip
"""Columns that say something about a row, and are no part of what is asked."""


def pair_of(row: Any) -> tuple[str, str] | None:
    """The columns of question and answer; both hold texts."""
    if not isinstance(row, Mapping):
        return None
    for pair in SURE:
        if all(isinstance(row.get(name), str) for name in pair):
            return pair
    found = columns_of(row)
    return found if found and all(isinstance(row[name], str) for name in found) else None


def columns_of(row: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The same by the names alone, whatever the columns hold."""
    for pair in SURE:
        if all(name in row for name in pair):
            return pair
    names = {name.strip().lower(): name for name in row if isinstance(name, str)}
    asked = [name for name in _QUESTIONS if name in names]
    said = [name for name in _ANSWERS if name in names]
    others = [name for name, own in names.items() if name not in _ABOUT and row[own] not in (None, "", [])]
    if len(asked) != 1 or len(said) != 1 or set(others) - {asked[0], said[0]}:
        return None
    return names[asked[0]], names[said[0]]


def is_about(name: str) -> bool:
    """Whether a column says something about a row, and is no part of what is asked or answered."""
    return name.strip().lower() in _ABOUT


def is_answer(name: str) -> bool:
    """Whether a column is called as answers and labels are."""
    return name.strip().lower() in (*_ANSWERS, "label", "labels", "class", "标签")


def system_of(row: Mapping[Any, Any]) -> str:
    """The column with the system prompt, or nothing."""
    return next((name for name in row if isinstance(name, str) and _is_system(name)), "")


@lru_cache(maxsize=4096)
def _is_system(name: str) -> bool:
    return name.strip().lower() in SYSTEM
