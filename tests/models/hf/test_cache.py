"""Reading with a KV cache under every name that a release may give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import ModelOutput

from tests.models.test_generate import MODELS, sharp
from tunesmith.core.errors import EvalError
from tunesmith.models.generate import generate
from tunesmith.models.hf.cache import Reading, join, read, repeated, select
from tunesmith.models.hf.changed import Changed
from tunesmith.models.load import load_model

CONFIG = LlamaConfig(
    vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0
)


@dataclass
class Said(ModelOutput):
    logits: torch.Tensor | None = None
    memory: Any = None


class _Wrapped(LlamaForCausalLM):
    """A Llama whose own names are hidden from the outside."""

    def pass_on(self, cache: Any, **given: Any) -> Said:
        given |= {} if cache is None else {Reading.of(self.plain()).argument: cache}
        out = self.plain()(**given)
        return Said(out.logits, out[Reading.of(self.plain()).output] if given.get("use_cache") else None)

    def plain(self) -> LlamaForCausalLM:
        if "_plain" not in self.__dict__:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                self.__dict__["_plain"] = LlamaForCausalLM(CONFIG).eval()
        found: LlamaForCausalLM = self.__dict__["_plain"]
        return found


class Renamed(_Wrapped):
    """Argument and output have a name of the future."""

    def forward(self, input_ids: Any, memory: Any = None, **given: Any) -> Said:
        return self.pass_on(memory, input_ids=input_ids, **given)


class OutputRenamed(_Wrapped):
    """Only the output has a new name."""

    def forward(self, input_ids: Any, past_key_values: Any = None, **given: Any) -> Said:
        return self.pass_on(past_key_values, input_ids=input_ids, **given)


class Hidden(_Wrapped):
    """The argument has a name that nobody can know; others are swallowed."""

    def forward(self, input_ids: Any, what_was_read: Any = None, memory: Any = None, **given: Any) -> Said:
        for name in ("cache", "past_key_values", "cache_params"):
            given.pop(name, None)
        return self.pass_on(what_was_read, input_ids=input_ids, **given)


class Without(_Wrapped):
    """Gives no cache at all."""

    def forward(self, input_ids: Any, **given: Any) -> Said:
        return Said(self.pass_on(None, input_ids=input_ids, **given).logits)


class Few(_Wrapped):
    """Takes neither positions nor how many logits are wanted."""

    def forward(self, input_ids: Any, attention_mask: Any = None, use_cache: bool = False, cache: Any = None) -> Said:
        assert attention_mask is None, "the test's prompts have one length"
        return self.pass_on(cache, input_ids=input_ids, use_cache=use_cache)


class Blind(_Wrapped):
    """Takes a mask and positions, and does not look at them: padding would be read as text."""

    def forward(self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None, **given: Any) -> Said:
        return self.pass_on(given.pop("cache", None), input_ids=input_ids, **given)


CHANGED = (
    "transformers changed how a cache is read or how its rows are chosen. Look at `Cache` in its release notes, and "
    "adapt tunesmith/models/hf/cache.py."
)


@pytest.mark.parametrize("kind", [Renamed, OutputRenamed, Few])
def test_a_renamed_cache_is_found(kind: type[_Wrapped]) -> None:
    model = kind(CONFIG).eval()
    prompts = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
    wanted = generate(model.plain(), prompts, stop_ids=(), max_new_tokens=6)
    assert generate(model, prompts, stop_ids=(), max_new_tokens=6) == wanted


def test_what_is_not_found_is_said_with_the_next_step() -> None:
    with pytest.raises(Changed, match=r"KV cache as memory.*passed as memory, cache.*tunesmith doctor"):
        generate(Hidden(CONFIG).eval(), [[1, 2]], stop_ids=())
    with pytest.raises(EvalError, match="gives no KV cache"):
        generate(Without(CONFIG).eval(), [[1, 2]], stop_ids=())


def test_a_model_that_does_not_look_at_the_mask_gets_no_padding() -> None:
    model = Blind(CONFIG).eval()
    prompts = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3]]
    assert not Reading.of(model).plain and Reading.of(model.plain()).plain, CHANGED
    wanted = [generate(model.plain(), [prompt], stop_ids=(), max_new_tokens=6)[0] for prompt in prompts]
    assert generate(model, prompts, stop_ids=(), max_new_tokens=6) == wanted


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_rows_of_every_kind_of_cache(name: str) -> None:
    model = sharp(load_model(MODELS[name], seed=1))
    ids = torch.arange(24).view(3, 8)
    _, cache = read(model, None, keep=1, input_ids=ids)
    rows = torch.tensor([2, 0, 0])
    select(cache, rows)
    following = torch.tensor([[7], [8], [9]])
    said, _ = read(model, cache, keep=1, positions=torch.full((3, 1), 8), input_ids=following)
    wanted = model(input_ids=torch.cat([ids[rows], following], 1), use_cache=False).logits[:, -1:]
    assert torch.allclose(said, wanted, atol=1e-4), CHANGED


@torch.no_grad()
def test_caches_are_joined_and_repeated() -> None:
    model = sharp(load_model(MODELS["llama"], seed=1))
    long, short = torch.arange(8)[None], torch.arange(30, 35)[None]
    (_, mine), (_, theirs) = (read(model, None, keep=1, input_ids=ids) for ids in (long, short))
    twice = repeated(theirs, 2)
    join(mine, twice, (8, 5))
    mask = torch.tensor([[1] * 9, *[[0] * 3 + [1] * 6] * 2])
    positions, token = torch.tensor([[8], [5], [5]]), torch.tensor([[3]] * 3)
    said, _ = read(model, mine, keep=1, positions=positions, input_ids=token, attention_mask=mask)
    for row, ids in enumerate((long, short, short)):
        wanted = model(input_ids=torch.cat([ids, token[:1]], 1), use_cache=False).logits[0, -1]
        assert torch.allclose(said[row, 0], wanted, atol=1e-4), CHANGED


def test_rows_that_are_not_chosen_are_seen() -> None:
    class Lazy:
        layers = (type("Layer", (), {"keys": torch.zeros(3, 1, 2, 4)})(),)

        def reorder_cache(self, rows: torch.Tensor) -> None:
            pass

    with pytest.raises(Changed, match="keeps 3 rows where 1 were chosen"):
        select(Lazy(), torch.tensor([1]))
    with pytest.raises(Changed, match=r"cannot be chosen \(reorder_cache\)"):
        select(object(), torch.tensor([1]))
