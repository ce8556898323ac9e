"""Reading with a KV cache under every name that a release may give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import ModelOutput

from tunesmith.errors import EvalError
from tunesmith.models.generate import generate
from tunesmith.models.hf.cache import Reading
from tunesmith.models.hf.changed import Changed

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
