"""Models of an encoder and a decoder: the loss is their own, and answers are those of transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tunesmith.core.errors import TrainError
from tunesmith.models.attention import Packed
from tunesmith.models.generate import Sampling, generate, rank_options, stream
from tunesmith.models.load import decoder_start, load_model
from tunesmith.models.policies import policy_of
from tunesmith.models.policy import Policy

T5 = {"vocab_size": 61, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
SIDES = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 4))}
MODELS: dict[str, dict[str, Any]] = {
    "t5": {"model_type": "t5", **T5},
    "t5 (1.1)": {"model_type": "t5", **T5, "tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"},
    "mt5": {"model_type": "mt5", **T5},
    "bart": {
        "model_type": "bart",
        "vocab_size": 61,
        "d_model": 32,
        **SIDES,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 128,
    },
}
PAIRS = [(7, 3), (1, 1), (40, 20), (18, 2), (3, 17), (40, 1)]


def make(name: str) -> PreTrainedModel:
    size = {"init_std": 0.3} if name == "bart" else {"initializer_factor": 1.0}  # so that no answer is a tie
    model = load_model({**MODELS[name], **size}, seed=1)
    return model.train(False)


def documents() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randint(3, 61, (a + b,)) for a, b in PAIRS]


def loss_and_grads(policy: Policy, rows: list[torch.Tensor], pairs: list[tuple[int, int]], grain: int = 1) -> Any:
    policy.model.zero_grad()
    packed = Packed.of([len(row) for row in rows], grain=grain).beginning([a for a, _ in pairs])
    ids = torch.cat([*rows, torch.zeros(packed.spare, dtype=torch.long)])
    learned = torch.cat([torch.arange(len(row)) >= a for row, (a, _) in zip(rows, pairs, strict=True)])
    where = learned.nonzero()[:, 0]
    total, each = policy.token_losses(policy.hidden(ids, packed)[where - 1], ids[where])
    total.backward()
    assert each.sum() == pytest.approx(float(total.detach()), rel=1e-5)
    return float(total.detach()), {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_the_models_own(name: str) -> None:
    model, rows = make(name), documents()
    policy = policy_of(model)
    policy.check()
    ours, grads = loss_and_grads(policy, rows, PAIRS, grain=32)
    model.zero_grad()
    total = torch.zeros(())
    for row, (a, b) in zip(rows, PAIRS, strict=True):
        start = torch.tensor([[decoder_start(model)]])
        given = torch.cat([start, row[None, a:-1]], 1)
        out = model(input_ids=row[None, :a], decoder_input_ids=given, labels=row[None, a:])
        total = total + out.loss * b
    total.backward()
    assert ours == pytest.approx(float(total.detach()), rel=1e-5)
    for n, p in model.named_parameters():
        if p.grad is not None:
            assert (p.grad - grads[n]).norm() <= 1e-4 * p.grad.norm() + 1e-5, n


def test_another_output_is_refused() -> None:
    policy = policy_of(make("t5"))
    policy._scale = 1.0
    with pytest.raises(TrainError, match="differ from its own"):
        policy.check()


def test_a_document_without_a_question_is_refused() -> None:
    policy = policy_of(make("t5"))
    with pytest.raises(TrainError, match="a question and an answer"):
        policy.hidden(torch.arange(5), Packed.of([5]).beginning([0]))


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_transformers(name: str) -> None:
    model = make(name)
    prompts = [row[:a].numpy().astype(np.int32) for row, (a, _) in zip(documents(), PAIRS, strict=True)]
    stop = 1
    said = generate(model, [*prompts, prompts[0]], stop_ids=[stop], max_new_tokens=12)
    for prompt, found in zip(prompts, said, strict=False):
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        start = decoder_start(model)
        quiet = {"do_sample": False, "num_beams": 1, "forced_bos_token_id": None, "forced_eos_token_id": None}
        theirs = model.generate(
            ids, max_new_tokens=12, eos_token_id=stop, decoder_start_token_id=start, pad_token_id=0, **quiet
        )
        theirs = theirs[0, 1:].tolist()
        assert list(found.ids) == (theirs[: theirs.index(stop)] if stop in theirs else theirs)
        assert list(stream(model, prompt, stop_ids=[stop], max_new_tokens=12, sampling=Sampling(0.0))) == list(
            found.ids
        )
    assert said[-1] == said[0]


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_likelihoods_of_options(name: str) -> None:
    model = make(name)
    prompts = [row[:a].numpy() for row, (a, _) in zip(documents(), PAIRS, strict=True)]
    options = [[np.array([5, 6, 1]), np.array([7]), np.array([8, 9, 10, 11, 1])] for _ in prompts]
    found = rank_options(model, prompts, options)
    for prompt, many, scores in zip(prompts, options, found, strict=True):
        for option, score in zip(many, scores, strict=True):
            given = torch.tensor([[decoder_start(model), *option[:-1].tolist()]])
            with torch.no_grad():
                logits = model(input_ids=torch.from_numpy(prompt)[None], decoder_input_ids=given).logits[0]
            logp = torch.log_softmax(logits.double(), -1)[torch.arange(len(option)), torch.from_numpy(option)].sum()
            assert score == pytest.approx(float(logp), abs=1e-4)
