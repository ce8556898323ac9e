"""One good row for every reader that reads files, with every field that it knows."""

from __future__ import annotations

from typing import Any

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ASKED = {"role": "user", "content": "What is 1 + 1?", "name": "Ann"}
TALK = [
    {"role": "system", "content": "Be brief."},
    ASKED,
    {"role": "assistant", "content": "Let me add.", "reasoning_content": "Easy.", "tool_calls": [CALL], "weight": 0},
    {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"},
    {"role": "assistant", "content": "Two.", "weight": 1},
]
PARTS = [
    {"role": "user", "content": [{"type": "text", "value": "1 + 1?"}], "loss_weight": 0.0},
    {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "value": "Easy."},
            {"type": "text", "value": "I add."},
            {"type": "tool_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
        ],
        "loss_weight": 1.0,
    },
]
TURNS = [
    {"from": "human", "value": "What is 1 + 1?"},
    {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1}}'},
    {"from": "observation", "value": "2"},
    {"from": "gpt", "value": "Two."},
]
NODE = {"text": "Yes.", "role": "assistant", "rank": 0, "replies": [], "lang": "en", "deleted": False}
TREE = {
    "text": "Is it?",
    "role": "prompter",
    "lang": "en",
    "review_result": True,
    "replies": [NODE, {**NODE, "text": "No.", "rank": 1}],
}

ROWS: list[tuple[str, dict[str, str], Any]] = [
    ("messages", {}, {"messages": TALK, "tools": [TOOL]}),
    ("messages", {}, {"messages": PARTS, "tools": "[]"}),
    ("sharegpt", {}, {"conversations": TURNS, "tools": "[]", "system": "Be brief."}),
    (
        "alpaca",
        {},
        {"instruction": "Add.", "input": "1 1", "output": "2", "system": "Be brief.", "history": [["a", "b"]]},
    ),
    (
        "choices",
        {},
        {
            "id": "q1",
            "question": "1 + 1?",
            "choices": ["1", "2"],
            "labels": ["A", "B"],
            "right": "B",
            "subject": "sums",
        },
    ),
    (
        "hellaswag",
        {},
        {
            "activity_label": "Sums",
            "ctx_a": "He adds.",
            "ctx_b": "it",
            "endings": ["1", "2"],
            "label": "1",
            "source_id": "s",
        },
    ),
    ("dolly", {}, {"instruction": "Add.", "context": "1 1", "response": "2", "category": "closed_qa"}),
    (
        "self_instruct",
        {},
        {
            "id": "s1",
            "name": "n",
            "instruction": "Add.",
            "instances": [{"input": "1 1", "output": "2"}],
            "is_classification": False,
        },
    ),
    ("prompt_completion", {}, {"prompt": "1 + 1?", "completion": "2", "template": "imdb_x", "task_name": "t"}),
    ("prompt_completion", {}, {"question": "1 + 1?", "answer": "2", "system_prompt": "Be brief.", "id": 7}),
    ("prompt_completion", {}, {"prompt": TALK[:2], "completion": TALK[4:]}),
    (
        "humaneval",
        {},
        {
            "task_id": "H/1",
            "prompt": "def f():\n",
            "test": "def check(f): pass",
            "entry_point": "f",
            "canonical_solution": "  pass",
        },
    ),
    (
        "mbpp",
        {},
        {
            "task_id": 1,
            "text": "Add.",
            "code": "def f(): pass",
            "test_list": ["assert 1"],
            "test_setup_code": "",
            "test_imports": ["import os"],
        },
    ),
    (
        "ifeval",
        {},
        {"key": 1, "prompt": "Say it.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"n": 1}]},
    ),
    ("questions", {}, {"question_id": 1, "turns": ["a?", "b?"], "reference": ["x", "y"], "category": "math"}),
    ("oasst", {"take": "paths"}, {"message_tree_id": "t", "prompt": TREE}),
    ("oasst", {"take": "best"}, {"message_tree_id": "t", "prompt": TREE}),
    ("oasst", {"take": "ranked"}, {"message_tree_id": "t", "prompt": TREE}),
    ("preference", {}, {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No.", "input": "x", "system": "Be brief."}),
    (
        "preference",
        {},
        {
            "chosen": [ASKED, {"role": "assistant", "content": "Yes."}],
            "rejected": [ASKED, {"role": "assistant", "content": "No."}],
        },
    ),
    (
        "preference",
        {},
        {"chosen_messages": PARTS, "rejected_messages": [PARTS[0], {"role": "assistant", "content": "No."}]},
    ),
    (
        "preference",
        {},
        {"conversations": TURNS[:1], "chosen": TURNS[3], "rejected": {"from": "gpt", "value": "Three."}},
    ),
    ("preference", {}, {"prompt": "Hi?", "answers": ["a", "b"], "ranks": [1, 2]}),
    (
        "preference",
        {},
        {"instruction": "Hi?", "completions": [{"response": "a", "score": 1.0}, {"response": "b", "score": "2"}]},
    ),
    ("preference", {}, {"prompt": "Hi?", "completion": "Yes.", "label": True}),
    ("preference", {"take": "best"}, {"messages": TALK[1:], "label": True, "tools": [TOOL]}),
    ("labelled", {}, {"labels": ["a", "b"], "dataset": "d", "train": [{"sentence": "x", "label": "a"}]}),
    ("gsm8k", {}, {"question": "1 + 1?", "answer": "One <<1+1=2>> more.\n#### 2"}),
    (
        "superni",
        {},
        {
            "Definition": ["Add."],
            "Positive Examples": [{"input": "1 2", "output": "3", "explanation": "sum"}],
            "Negative Examples": [{"input": "1 3", "output": "3", "explanation": "no"}],
            "Instances": [{"id": "i1", "input": "1 1", "output": ["2"]}],
        },
    ),
    ("table", {}, {"x": "a", "y": {"z": [1, "b"]}}),
    ("text", {}, {"text": "Once upon a time."}),
]
