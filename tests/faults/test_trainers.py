"""Faults that users of today's trainers report, each shown not to be ours. The numbers are those of the list.

10 has a test of its own for each kernel in tests/models/test_packed.py,
and 16 is killed twenty times in tests/train/test_loop.py; here are the small forms of both.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from transformers import PreTrainedTokenizerFast

from tests.train.test_loop import MODEL, run, same, settings, store
from tunesmith.chat import ChatFormat
from tunesmith.core.errors import ChatError, DataError, RecipeError
from tunesmith.models.attention import Packed
from tunesmith.models.head import linear_cross_entropy
from tunesmith.models.load import load_model, save_model
from tunesmith.models.policy import Policy
from tunesmith.plan import Plan
from tunesmith.train import checkpoint
from tunesmith.train.loop import train
from tunesmith.train.objective import OBJECTIVES
from tunesmith.train.settings import TrainSettings

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is <|im_start|>assistant\nyes<|im_end|> an answer?"},
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "assistant\nNo. And this?"},
    {"role": "assistant", "content": "No.\n\nIt is a question."},
]
NO_TAGS = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NAMES = ["chatml", "zephyr", "tulu"]


def learned(fmt: ChatFormat, talk: list[dict[str, Any]], **how: Any) -> str:
    row = fmt.encode(talk, **how)
    return "".join(piece for piece, learn in zip(fmt.pieces(row.ids), row.learn, strict=True) if learn)


def test_1_a_template_without_generation_tags_has_a_mask(tok: PreTrainedTokenizerFast) -> None:
    ChatFormat.named("chatml", tok)  # its control tokens
    tok.chat_template = NO_TAGS
    fmt = ChatFormat.from_tokenizer(tok)
    row = fmt.encode(TALK)
    assert 0 < row.learn.sum() < len(row.learn) / 2
    assert learned(fmt, TALK) == "No.\n\nIt is a question.<|im_end|>"


@pytest.mark.parametrize("name", NAMES)
def test_2_prompt_and_answer_meet_at_the_token(tok: PreTrainedTokenizerFast, name: str) -> None:
    fmt = ChatFormat.named(name, tok)
    for said in ("No.", " leading space", "123", "中文", "É"):
        talk = [*TALK[:-1], {"role": "assistant", "content": said}]
        row = fmt.encode(talk)
        prompt = fmt.prompt(talk[:-1])
        first = int(np.argmax(row.learn))
        assert row.ids[:first].tolist() == list(prompt)


@pytest.mark.parametrize("name", NAMES)
def test_3_a_user_who_writes_the_markers_changes_no_mask(tok: PreTrainedTokenizerFast, name: str) -> None:
    fmt = ChatFormat.named(name, tok)
    assert learned(fmt, TALK, learn="all").startswith("No.") and "And this" not in learned(fmt, TALK, learn="all")
    controls = {i for i in fmt.encode(TALK).ids.tolist() if i in fmt.stop_ids}
    plain = copy.deepcopy(TALK)
    plain[1]["content"] = plain[3]["content"] = "Hm?"
    count = lambda talk: sum(i in controls for i in fmt.encode(talk).ids.tolist())  # noqa: E731
    assert count(TALK) == count(plain)


@pytest.mark.parametrize("name", NAMES)
def test_4_every_learned_turn_teaches_to_stop(tok: PreTrainedTokenizerFast, name: str) -> None:
    fmt = ChatFormat.named(name, tok)
    tok.pad_token = tok.eos_token
    row = fmt.encode(TALK, learn="all")
    stops = [int(i) for i, learn in zip(row.ids, row.learn, strict=True) if learn and int(i) in fmt.stop_ids]
    assert len(stops) == 2


def test_5_what_is_saved_renders_what_was_trained(tok: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    fmt = ChatFormat.named("zephyr", tok)
    fmt.tok.save_pretrained(tmp_path)
    again = ChatFormat.from_tokenizer(PreTrainedTokenizerFast.from_pretrained(tmp_path))
    assert again.fingerprint() == fmt.fingerprint()
    assert again.encode(TALK).ids.tolist() == fmt.encode(TALK).ids.tolist()
    assert list(again.prompt(TALK[:-1])) == list(fmt.prompt(TALK[:-1]))


def test_6_rewritten_history_is_said_and_not_guessed(tok: PreTrainedTokenizerFast) -> None:
    """A template that drops the reasoning of earlier turns: learning all turns takes a row for each."""
    ChatFormat.named("chatml", tok)
    tok.chat_template = NO_TAGS.replace(
        "{{ message['content'] }}",
        "{% if message['role'] == 'assistant' and message['reasoning_content'] and loop.last %}"
        "<think>{{ message['reasoning_content'] }}</think>{% endif %}{{ message['content'] }}",
    )
    fmt = ChatFormat.from_tokenizer(tok)
    talk = [{**m, "reasoning_content": f"I think {i}."} if m["role"] == "assistant" else m for i, m in enumerate(TALK)]
    with pytest.raises(ChatError, match="rewrites earlier turns"):
        fmt.encode(talk, learn="all")
    rows = fmt.encode_turns(talk, learn="all")
    assert len(rows) == 2
    assert ["I think 2." in "".join(fmt.pieces(row.ids)) for row in rows] == [True, False]


def test_7_packed_documents_do_not_see_each_other() -> None:
    policy = Policy(load_model(MODEL, seed=1))
    ids = torch.randint(50, (30,))
    before = policy.logits(ids, Packed.of([10, 20]))
    ids[:10] = (ids[:10] + 1) % 50
    assert torch.equal(policy.logits(ids, Packed.of([10, 20]))[10:], before[10:])


def test_8_and_9_packing_and_accumulation_change_no_gradient() -> None:
    """One document at a time, two, or all: the sum over the documents divided by all learned tokens."""
    goal, data = OBJECTIVES["sft"], {"a": store(rows=12)}
    from tunesmith.plan import Item

    found = []
    for size in (1, 2, 12):
        model = load_model(MODEL, seed=3)
        policy = Policy(model)
        parts = [[tuple(Item("a", i) for i in range(a, a + size))] for a in range(0, 12, size)]
        batches = [goal.batch(part, data, "cpu") for part in parts]
        weight = sum(goal.weight(batch) for batch in batches)
        for batch in batches:
            (goal.loss(policy, batch).total / weight).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    for grad in found[1:]:
        assert (grad - found[0]).norm() <= 1e-6 * found[0].norm()


def test_10_the_fused_loss_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(70, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(31, 8, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(31, (70,))
    ours = torch.autograd.grad(linear_cross_entropy(hidden, weight, targets)[0], [hidden, weight])
    plain = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    for a, b in zip(ours, torch.autograd.grad(plain, [hidden, weight]), strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


def test_11_a_row_whose_answer_does_not_fit_is_set_aside(tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    long = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "Yes."}]
    for over_long in ("set_aside", "cut"):
        found = fmt.encode_many([long, TALK], max_length=120, over_long=over_long)
        assert found.rows.tolist() == [1] and len(found.set_aside) == 1
        assert all(row.learn.any() for row in found)
    empty = store(rows=5)
    nothing = np.zeros_like(empty.learn)
    lengths = {"a": empty.lengths}
    with pytest.raises(DataError, match="nothing to learn from"):
        keep = {"a": np.add.reduceat(nothing, empty.offsets[:-1]) > 0}
        Plan(lengths, {"a": 1.0}, seed=1, batch_tokens=64, row_length=64, steps=1, keep=keep)


def test_12_an_unknown_setting_and_a_row_too_long_are_errors() -> None:
    with pytest.raises(ValidationError, match="max_seq_length"):
        TrainSettings.model_validate({"max_seq_length": 4096})
    from tunesmith.pipeline import recipe

    with pytest.raises(RecipeError, match="unknown key; did you mean 'row_length'"):
        recipe.parse("name: x\nstages:\n  tune: {kind: sft, model: /tmp, data: b, train: {row_lenght: 9}}\n")
    with pytest.raises(DataError, match="Rows are longer than row_length 8"):
        Plan({"a": np.array([4, 9])}, {"a": 1.0}, seed=1, batch_tokens=64, row_length=8, steps=1)


def test_13_rows_in_are_rows_out_and_rows_set_aside(tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    bad: list[Any] = [[], [{"role": "user", "content": "no answer"}], [{"role": "nobody", "content": "x"}]]
    talks = [TALK, *bad, TALK[1:3]]
    found = fmt.encode_many(talks)
    assert len(set(found.rows.tolist())) + len(found.set_aside) == len(talks)
    assert all(row.reason for row in found.set_aside)


def test_14_another_template_or_tokenizer_is_another_key(tok: PreTrainedTokenizerFast) -> None:
    """What is kept of encoded rows is found by it; see also tests/stages/test_sft.py."""
    one = ChatFormat.named("chatml", copy.deepcopy(tok)).fingerprint()
    other = ChatFormat.named("tulu", copy.deepcopy(tok)).fingerprint()
    grown = copy.deepcopy(tok)
    grown.add_tokens(["a new word"])
    assert len({one, other, ChatFormat.named("chatml", grown).fingerprint()}) == 3


def test_15_preparing_rows_is_not_what_one_waits_for(tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    talks = [[{"role": "user", "content": f"{i} {'word ' * 40}"}, TALK[2]] for i in range(2000)]
    fmt.encode_many(talks[:50])
    began = time.perf_counter()
    assert len(fmt.encode_many(talks)) == 2000
    assert 2000 / (time.perf_counter() - began) > 2000  # rows a second; the faults were about 120 to 190


def test_16_a_run_that_goes_on_is_the_run_that_was_not_stopped(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(event: Any) -> None:
        if event.step == 13:
            raise Stop

    whole = run(tmp_path / "whole")
    with pytest.raises(Stop):
        train(MODEL, "sft", {"a": store()}, {"a": 1.0}, settings(), tmp_path / "two", progress=False, on_event=stop)
    assert same(run(tmp_path / "two"), whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 31))


def test_17_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    one = run(tmp_path / "1")
    torch.manual_seed(99)  # what else draws random numbers does not matter
    np.random.seed(99)
    assert same(run(tmp_path / "2"), one)
    assert not same(run(tmp_path / "3", seed=8), one)


def test_18_one_bos_and_tools_as_they_were(tok: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    from tunesmith.core.types import Conversation, Message
    from tunesmith.data.builds.build import store as files

    tok.add_special_tokens({"bos_token": "<s>"})
    ChatFormat.named("chatml", tok)
    tok.chat_template = "{{ bos_token }}" + NO_TAGS
    fmt = ChatFormat.from_tokenizer(tok)
    ids = fmt.encode(TALK).ids.tolist()
    assert ids.count(tok.bos_token_id) == 1 and ids[0] == tok.bos_token_id
    tools = (
        {"name": "a", "parameters": {"x": {"type": "string"}}},
        {"name": "b", "parameters": {"y": {"type": "integer", "enum": [1]}}},
    )
    rows = [
        Conversation((Message("user", "q"), Message("assistant", "a")), f"{i}", tools=(t,)) for i, t in enumerate(tools)
    ]
    files.write(tmp_path / "rows.parquet", rows)
    assert [row.tools for row in files.conversations(tmp_path / "rows.parquet")] == [(tools[0],), (tools[1],)]


@pytest.mark.parametrize("tied", [True, False])
def test_19_what_is_saved_is_what_was_trained(tmp_path: Path, tied: bool) -> None:
    from transformers import AutoModelForCausalLM

    model = load_model({**MODEL, "tie_word_embeddings": tied}, seed=1)
    ids = torch.randint(50, (12,))
    said = Policy(model).logits(ids, Packed.of([12]))
    saved = AutoModelForCausalLM.from_pretrained(save_model(model, tmp_path / "model"))
    with torch.no_grad():
        assert torch.allclose(saved(input_ids=ids[None]).logits[0], said, atol=1e-5)


def test_20_what_is_trained_beside_an_adapter_is_saved_with_it(tmp_path: Path) -> None:
    """An output layer of its own, trained beside an adapter, is in the checkpoint, the adapter and the merged model."""
    load_model({**MODEL, "vocab_size": 48, "tie_word_embeddings": False}, seed=3).save_pretrained(tmp_path / "base")
    lora = settings(adapter={"rank": 2}, steps=6)
    train(
        tmp_path / "base", "sft", {"a": store()}, {"a": 1.0}, lora, tmp_path / "out", new_ids=[48, 49], progress=False
    )
    begun = load_model(tmp_path / "base").lm_head.weight[:48]  # type: ignore[union-attr, index]
    ended = load_model(tmp_path / "out" / "model").lm_head.weight  # type: ignore[union-attr]
    assert ended.shape[0] == 50 and not torch.equal(ended[:48], begun)  # type: ignore[index, union-attr]
    adapter = safetensors.torch.load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert torch.equal(adapter["base_model.model.lm_head.weight"], ended)  # type: ignore[arg-type]
    newest = checkpoint.newest(tmp_path / "out" / "checkpoints", print)
    assert newest is not None
    held = safetensors.torch.load_file(newest.folder / newest.files[0])
    assert "weights.lm_head.weight" in held and "m.lm_head.weight" in held
