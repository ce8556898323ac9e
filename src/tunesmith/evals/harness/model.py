"""A model for lm-evaluation-harness: tokens, truncation and chat templates are theirs, the forward pass is ours.

    lm = HarnessModel.open("runs/my/tune/model")
    lm_eval.simple_evaluate(model=lm, tasks=["hellaswag"])

It is their own ``hf`` model except for two methods: log-likelihoods are computed with one prefill per prompt
(``rank_options``), and answers are generated in our batches. So scores equal those of ``hf`` and take less time;
``benchmarks/harness.py`` runs both. Needs ``pip install 'tunesmith[harness]'``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM

from tunesmith.models.generate import GREEDY, Sampling, generate, rank_options
from tunesmith.models.load import load_model
from tunesmith.models.tokenizer import load_tokenizer

Request = tuple[tuple[str, str], list[int], list[int]]
"""Texts, context ids, continuation ids."""


@register_model("tunesmith")
class HarnessModel(HFLM):  # type: ignore[misc]
    """Their model, our forward pass."""

    @classmethod
    def open(cls, folder: Path | str, progress: Callable[[int, int], None] | None = None) -> HarnessModel:
        """The model of a folder."""
        model = load_model(Path(folder))
        model.train(False)
        # Rolling windows come in batches of this size; how many run at once is for our engine to say.
        made = cls(pretrained=model, tokenizer=load_tokenizer(folder), batch_size=4096)
        made.progress = progress
        return made

    progress: Callable[[int, int], None] | None = None

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Log-likelihood, and whether greedy decoding gives the same; equal contexts are computed once."""
        together: dict[tuple[int, ...], list[int]] = defaultdict(list)
        tails: list[list[int]] = []
        for number, (_, context, continuation) in enumerate(requests):
            if self.backend == "causal":
                whole = (context + continuation)[-(self.max_length + 1) :]
                head, tail = whole[: len(whole) - len(continuation)], continuation
            else:
                head, tail = context[-self.max_length :], continuation[-self.max_length :]
            together[tuple(head)].append(number)
            tails.append(tail)
        greedy: list[Any] = []
        prompts, asked = list(together), list(together.values())
        scores = rank_options(
            self.model, prompts, [[tails[i] for i in many] for many in asked], greedy=greedy, progress=self.progress
        )
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for many, sums, best in zip(asked, scores, greedy, strict=True):
            for i, total, said in zip(many, sums.tolist(), best.tolist(), strict=True):
                found[i] = total, said
        for (texts, _, _), answer in zip(requests, found, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Answers up to a stop text; requests with the same settings run together."""
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        alike: dict[str, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            alike[repr(request.args[1])].append(number)
        answers = [""] * len(requests)
        for numbers in alike.values():
            settings = Wanted.of(requests[numbers[0]].args[1], self.max_gen_toks)
            stops, most = [*settings.until, eos], settings.tokens
            room = self.max_length - most if self.backend == "causal" else self.max_length
            prompts = [self.tok_encode(requests[i].args[0], left_truncate_len=room) for i in numbers]
            said = generate(
                self.model,
                prompts,
                stop_ids=self._stops(),
                max_new_tokens=most,
                sampling=settings.sampling,
                until=self._until([stop for stop in stops if stop and stop != eos]),
                progress=self.progress,
            )
            for i, one in zip(numbers, said, strict=True):
                answers[i] = before_any(self.tok_decode(list(one.ids)), stops)
                self.cache_hook.add_partial("generate_until", requests[i].args, answers[i])
        return answers

    def _stops(self) -> frozenset[int]:
        """The stop tokens of their generation: the tokenizer's, and those that the model's folder names."""
        named = self.model.generation_config.eos_token_id
        own = named if isinstance(named, list) else [named]
        return frozenset(int(i) for i in (self.eot_token_id, *own) if i is not None)

    def _until(self, stops: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        """Whether an answer contains a stop text; only its last tokens are decoded."""
        if not stops:
            return None
        last = max(map(len, stops)) + 4  # a token is a character at least, but one may need several

        def over(ids: Sequence[int]) -> bool:
            text = self.tok_decode(list(ids[-last:]))
            return any(stop in text for stop in stops)

        return over


@dataclass(frozen=True)
class Wanted:
    """How a task wants its answers to be generated."""

    until: tuple[str, ...]
    """Texts that end an answer."""
    tokens: int
    """How many an answer may have."""
    sampling: Sampling

    @classmethod
    def of(cls, settings: Mapping[str, Any], tokens: int) -> Wanted:
        """Read as their ``hf`` model reads it; ``tokens`` is what holds where the task says nothing."""
        until = settings.get("until") or []
        said = [settings[name] for name in _LENGTHS if settings.get(name) is not None]
        temperature = float(settings.get("temperature") or 0.0)
        draws = settings.get("do_sample")
        sampling = GREEDY
        if temperature > 0 and (draws or draws is None):
            sampling = Sampling(temperature=temperature, top_p=float(settings.get("top_p", 1.0)))
        return cls((until,) if isinstance(until, str) else tuple(until), int(said[0] if said else tokens), sampling)


_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""What tasks call the limit of an answer; the first one given holds."""


def before_any(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop texts."""
    for stop in filter(None, stops):
        text = text.partition(stop)[0]
    return text
