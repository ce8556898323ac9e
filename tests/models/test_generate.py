"""Batched answers against the plainest possible ones: one prompt, no cache, the whole forward for every token."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.models.test_packed import APART, FAMILIES, OWN_NAMES
from tests.models.test_packed import SMALL as SHAPE
from tunesmith.core.errors import EvalError
from tunesmith.models import generate as gen
from tunesmith.models.generate import Generated, Memory, Sampling, draw, generate, rank_options, stream
from tunesmith.models.hf.cache import Reading
from tunesmith.models.load import load_model

V = 61
STOPS = frozenset(range(50, 61))
SMALL = {"vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MODELS = {
    "llama": {"model_type": "llama", "intermediate_size": 48, "num_key_value_heads": 2, **SMALL},
    "gpt2": {"model_type": "gpt2", "vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "windowed": {
        "model_type": "mistral",
        "intermediate_size": 48,
        "num_key_value_heads": 2,
        "sliding_window": 6,
        **SMALL,
    },
    "recurrent": {"model_type": "mamba", "vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    attention = "eager" if request.param == "recurrent" else "sdpa"
    return sharp(load_model(MODELS[request.param], seed=1, attention=attention))


def of_family(family: str) -> dict[str, object]:
    fields = {**FAMILIES, **APART}[family]
    shape = {k: v for k, v in SHAPE.items() if family != "gpt_neox" or k != "num_key_value_heads"}
    return {"model_type": family, **({} if family in OWN_NAMES else shape), **fields}


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return sharp(load_model(MODELS["llama"], seed=1))


def sharp(model: PreTrainedModel) -> PreTrainedModel:
    """Fresh weights, made large enough that the model says different things and attends to what it reads."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.25)
    return model.eval()


def some_prompts(n: int = 40, longest: int = 17) -> list[np.ndarray]:
    r = np.random.default_rng(3)
    prompts = [r.integers(0, 50, r.integers(1, longest)).astype(np.int32) for _ in range(n)]
    return [*prompts, prompts[3], prompts[7]]


@torch.no_grad()
def plainly(model: PreTrainedModel, prompt: np.ndarray, most: int) -> Generated:
    ids, said = prompt.tolist(), []
    while len(said) < most:
        token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if token in STOPS:
            return Generated(tuple(said), True)
        said.append(token)
        ids.append(token)
    return Generated(tuple(said), False)


def test_a_batch_says_what_each_prompt_alone_says(model: PreTrainedModel) -> None:
    prompts = some_prompts()
    got = generate(model, prompts, stop_ids=STOPS, max_new_tokens=12)
    assert got == [plainly(model, p, 12) for p in prompts]
    assert len({g.ids for g in got}) > 5 and {g.finished for g in got} == {True, False}, "the test must see variety"


def test_equal_prompts_are_computed_once(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    prompt = np.array([4, 5, 6, 7, 8], np.int32)
    generate(llama, [prompt] * 30, stop_ids=STOPS, max_new_tokens=1)
    assert rows_seen == [(1, 5)]


def test_finished_rows_leave_the_batch(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    prompts = some_prompts()[:40]
    answers = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=12)
    # Each token said costs one row of one step, but for the last of an answer that ran into the limit;
    # a row that stops costs none after its last token.
    steps = sum(rows * width for rows, width in rows_seen if width == 1)
    single = sum(1 for p in {p.tobytes(): p for p in prompts}.values() if len(p) == 1)
    assert steps <= sum(len(a.ids) for a in answers) + single


def test_others_join_where_rows_have_finished(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of a few rows, over several rounds, the answers are those of each prompt alone."""
    monkeypatch.setattr(gen, "_WORTH", 1)
    monkeypatch.setattr(gen, "_SLOTS", {"cpu": 60, "other": 60})
    prompts = some_prompts(60)
    got = generate(model, prompts, stop_ids=STOPS, max_new_tokens=20)
    assert got == [plainly(model, p, 20) for p in prompts]


def test_long_answers_keep_nobody_waiting(
    llama: PreTrainedModel, rows_seen: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gen, "_WORTH", 1)
    monkeypatch.setattr(gen, "_SLOTS", {"cpu": 96, "other": 96})
    r = np.random.default_rng(1)
    prompts = [r.integers(5, 50, 8).astype(np.int32) for _ in range(96)]
    answers = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=40)
    steps = sum(1 for _, width in rows_seen if width == 1)
    rows_seen.clear()
    monkeypatch.setattr(gen._Run, "joins", False)
    assert generate(llama, prompts, stop_ids=STOPS, max_new_tokens=40) == answers
    lengths = [len(a.ids) for a in answers]
    assert max(lengths) > 3 * np.mean(lengths), "the test must see some that are much longer"
    assert steps < 0.6 * sum(1 for _, width in rows_seen if width == 1)


@pytest.fixture
def rows_seen(llama: PreTrainedModel) -> Iterator[list[tuple[int, ...]]]:
    """The shape of every forward pass."""
    seen: list[tuple[int, ...]] = []
    Reading.of(llama)  # tried before, so that its passes are not counted
    hook = llama.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    yield seen
    hook.remove()


def test_little_is_padded(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    r = np.random.default_rng(0)
    prompts = [r.integers(0, 50, r.integers(20, 60)).astype(np.int32) for _ in range(1000)]
    generate(llama, prompts, stop_ids=STOPS, max_new_tokens=1)
    slots = sum(rows * width for rows, width in rows_seen)
    assert sum(map(len, prompts)) > 0.93 * slots
    assert len(rows_seen) < 40


def test_options_score_as_in_a_flat_pass(model: PreTrainedModel) -> None:
    r = np.random.default_rng(5)
    prompts = some_prompts(20)
    options = [[r.integers(0, V, r.integers(1, 6)) for _ in range(r.integers(1, 5))] for _ in prompts]
    got = rank_options(model, prompts, options)
    for prompt, many, scores in zip(prompts, options, got, strict=True):
        for option, score in zip(many, scores, strict=True):
            ids = torch.tensor([[*prompt.tolist(), *option.tolist()]])
            with torch.no_grad():
                logp = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0].double(), -1)
            want = sum(float(logp[len(prompt) - 1 + k, t]) for k, t in enumerate(option.tolist()))
            assert score == pytest.approx(want, abs=2e-4)


def test_a_prompt_is_read_once_for_all_its_options(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    prompt = np.arange(10, dtype=np.int32)
    rank_options(llama, [prompt, prompt], [[[1], [2, 3]], [[4, 5]]])
    assert rows_seen == [(1, 10), (3, 1)]


def test_many_options_are_split_but_score_the_same(llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = some_prompts(12)
    options = [[[1], [2, 3], [4, 5, 6]]] * len(prompts)
    whole = rank_options(llama, prompts, options)
    monkeypatch.setattr(gen, "_LOGIT_BYTES", 4 * V * 20)
    monkeypatch.setitem(gen._SLOTS, "cpu", 40)
    for a, b in zip(rank_options(llama, prompts, options), whole, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_sampling_does_not_depend_on_the_batch(llama: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, how = some_prompts(16), Sampling(temperature=1.3, top_p=0.9, seed=4)
    together = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=8, sampling=how)
    monkeypatch.setitem(gen._SLOTS, "cpu", 20)
    assert generate(llama, prompts, stop_ids=STOPS, max_new_tokens=8, sampling=how) == together
    other = Sampling(temperature=1.3, top_p=0.9, seed=5)
    assert generate(llama, prompts, stop_ids=STOPS, max_new_tokens=8, sampling=other) != together
    assert len({g.ids for g in generate(llama, [prompts[0]] * 20, stop_ids=STOPS, sampling=how)}) > 5


def test_draw_follows_the_probabilities() -> None:
    p = torch.tensor([0.1, 0.6, 0.3])
    u = torch.linspace(0.0005, 0.9995, 1000)
    rows = p.log().expand(1000, 3)
    counts = torch.bincount(draw(rows, u, Sampling()), minlength=3)
    assert counts.tolist() == [100, 600, 300]
    counts = torch.bincount(draw(rows, u, Sampling(top_p=0.7)), minlength=3)
    assert counts[0] == 0 and abs(int(counts[1]) - 667) <= 1
    assert set(draw(rows, u, Sampling(top_p=0.5)).tolist()) == {1}
    assert draw(rows[:1], torch.tensor([1.0]), Sampling()).tolist() == [0]


def test_a_stream_says_what_a_batch_says(model: PreTrainedModel) -> None:
    for prompt in some_prompts(10):
        want = generate(model, [prompt], stop_ids=STOPS, max_new_tokens=9)[0]
        assert tuple(stream(model, prompt, stop_ids=STOPS, max_new_tokens=9)) == want.ids


def test_a_chat_reads_its_new_messages_only(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    memory, prompt = Memory(), [3, 1, 4, 1, 5]
    said = list(stream(llama, prompt, stop_ids=(), max_new_tokens=4, memory=memory))
    follow = [*prompt, *said, 9, 2, 6]
    rows_seen.clear()
    again = list(stream(llama, follow, stop_ids=(), max_new_tokens=4, memory=memory))
    assert rows_seen[0] == (1, 4), "the last token said, and the three new ones"
    assert again == list(stream(llama, follow, stop_ids=(), max_new_tokens=4))
    other = [7, 7, 7]
    assert list(stream(llama, other, stop_ids=(), max_new_tokens=4, memory=memory)) == list(
        stream(llama, other, stop_ids=(), max_new_tokens=4)
    )


def test_limits_of_the_model() -> None:
    small = load_model(MODELS["gpt2"])
    got = generate(small, [np.arange(40), np.arange(60) % 50], stop_ids=(), max_new_tokens=30)
    assert [len(g.ids) for g in got] == [24, 4] and not any(g.finished for g in got)
    with pytest.raises(EvalError, match="Prompt 1 has 65 tokens"):
        generate(small, [np.arange(4), np.arange(65) % 50], stop_ids=())
    with pytest.raises(EvalError, match="Prompt 0 is empty"):
        generate(small, [[]], stop_ids=())


def test_the_model_is_left_as_it_was(llama: PreTrainedModel) -> None:
    llama.train()
    try:
        generate(llama, [[1, 2]], stop_ids=(), max_new_tokens=1)
        assert llama.training
    finally:
        llama.eval()


def prompts_that_begin_alike() -> list[np.ndarray]:
    """Three beginnings, each before questions of many lengths, and some prompts that begin like no other."""
    r = np.random.default_rng(5)
    beginnings = [r.integers(0, 50, n) for n in (40, 36, 8)]
    found = [np.r_[beginnings[i % 3], r.integers(0, 50, r.integers(1, 12))].astype(np.int32) for i in range(60)]
    return [*found, *some_prompts(10), np.r_[beginnings[0]].astype(np.int32)]


def test_what_many_begin_with_is_read_once(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    prompts = prompts_that_begin_alike()
    together = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=6)
    read = sum(rows * n for rows, n in rows_seen if n > 1)
    rows_seen.clear()
    alone = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=6, alone=True)
    assert together == alone
    assert read < 0.5 * sum(rows * n for rows, n in rows_seen if n > 1)


def test_a_batch_of_its_own_has_to_be_worth_it(llama: PreTrainedModel, rows_seen: list[tuple[int, ...]]) -> None:
    """Two prompts that begin alike and some short ones wait for nobody where answers may be long; each step costs every
    batch alike."""
    r = np.random.default_rng(5)
    begin = r.integers(0, 50, 34)
    prompts = [np.r_[begin, r.integers(0, 50, 4)] for _ in range(2)] + [r.integers(0, 50, n) for n in (38, 30, 12, 5)]

    def prompts_read(most: int) -> list[int]:
        alone = generate(llama, prompts, stop_ids=[], max_new_tokens=most, alone=True)
        rows_seen.clear()
        assert generate(llama, prompts, stop_ids=[], max_new_tokens=most) == alone
        return [rows for rows, n in rows_seen if n > 1]

    assert prompts_read(12) == [6]
    assert prompts_read(1) == [1, 2, 2, 2]  # what the two share, the rest of them, and the others by their lengths


@pytest.mark.parametrize(
    "family",
    [
        "llama",
        "qwen3",
        "gpt2",
        "gpt_neox",
        "phi3",
        "olmo2",
        "gemma",
        "gemma3_text",
        "mistral",
        "mixtral",
        "bloom",
        "falcon",
        "stablelm",
        "cohere",
    ],
)
def test_a_shared_beginning_changes_no_score(family: str) -> None:
    attention = "eager" if family == "bloom" else "sdpa"
    net = sharp(load_model(of_family(family), seed=1, attention=attention))
    if family not in ("mixtral", "bloom"):  # experts know no float64, and in it BLOOM's mask is too much for its scores
        net = net.double()
    r = np.random.default_rng(6)
    prompts = prompts_that_begin_alike()
    options = [
        [np.r_[first, r.integers(0, 50, r.integers(0, 3))].astype(np.int32) for first in r.permutation(50)[:3]]
        for _ in prompts
    ]
    together = rank_options(net, prompts, options)
    alone = rank_options(net, prompts, options, alone=True)
    assert max(float(np.abs(a - b).max()) for a, b in zip(together, alone, strict=True)) < 1e-4
    assert [int(np.argmax(a)) for a in together] == [int(np.argmax(a)) for a in alone]
    assert generate(net, prompts, stop_ids=STOPS, max_new_tokens=5) == generate(
        net, prompts, stop_ids=STOPS, max_new_tokens=5, alone=True
    )


@pytest.mark.parametrize("size", [1, 3, 16, 64])
def test_no_batch_and_no_order_changes_what_is_said(
    llama: PreTrainedModel, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_that_begin_alike()
    r = np.random.default_rng(size)
    options = [[r.integers(0, 50, 2).astype(np.int32) for _ in range(3)] for _ in prompts]
    order = r.permutation(len(prompts)).tolist()
    said = generate(llama, prompts, stop_ids=STOPS, max_new_tokens=6)
    scores = rank_options(llama, prompts, options)
    exact = rank_options(llama, prompts, options, alone=True)

    plain = gen._Run.batches

    def of_size(self: gen._Run, *given: object, **named: object) -> Iterator[list[int]]:
        for batch in plain(self, *given, **named):  # type: ignore[arg-type]
            yield from (batch[a : a + size] for a in range(0, len(batch), size))

    monkeypatch.setattr(gen._Run, "batches", of_size)
    shuffled = [prompts[i] for i in order]
    again = generate(llama, shuffled, stop_ids=STOPS, max_new_tokens=6)
    assert [again[order.index(i)] for i in range(len(prompts))] == said
    others = rank_options(llama, shuffled, [options[i] for i in order])
    for i in range(len(prompts)):
        assert int(np.argmax(others[order.index(i)])) == int(np.argmax(scores[i]))
        assert np.abs(others[order.index(i)] - scores[i]).max() <= 1e-4
    bitwise = rank_options(llama, shuffled, [options[i] for i in order], alone=True)
    assert all(np.array_equal(bitwise[order.index(i)], exact[i]) for i in range(len(prompts)))


def test_nobody_is_asked(llama: PreTrainedModel) -> None:
    assert generate(llama, [], stop_ids=[0], max_new_tokens=3) == []
