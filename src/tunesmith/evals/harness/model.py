"""A model as lm-evaluation-harness asks it: tokens, truncation and chat templates are theirs, the work is ours.

    lm = HarnessModel.open("runs/my/tune/model")
    lm_eval.simple_evaluate(model=lm, tasks=["hellaswag"])

It is their own ``hf`` model in everything but two methods: what is likely is computed with every prompt read once
(``rank_options``), and answers are generated in our batches. So figures are those of ``hf`` and come sooner;
``benchmarks/harness.py`` runs both. Needs ``pip install 'tunesmith[harness]'``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from tunesmith.models.generate import GREEDY, Sampling, generate, rank_options
from tunesmith.models.load import load_model

Request = tuple[tuple[str, str], list[int], list[int]]
"""Texts, context ids, continuation ids."""


@register_model("tunesmith")
class HarnessModel(HFLM):  # type: ignore[misc]
    """Their model, our forward pass."""

    @classmethod
    def open(cls, folder: Path | str, progress: Callable[[int, int], None] | None = None) -> HarnessModel:
        """The model of a folder."""
        from transformers import AutoTokenizer

        model = load_model(Path(folder), attention="sdpa")
        model.train(False)
        # Rolling windows come in batches of this size; how many run at once is for our engine to say.
        made = cls(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=4096)
        made.progress = progress
        return made

    progress: Callable[[int, int], None] | None = None

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Log-likelihood, and whether greedy decoding would say the same; equal contexts are read once."""
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
            settings = normalize_gen_kwargs(requests[numbers[0]].args[1], self.max_gen_toks)
            stops = handle_stop_sequences(settings.get("until"), eos=eos)
            most = int(settings["max_gen_toks"])
            room = self.max_length - most if self.backend == "causal" else self.max_length
            prompts = [self.tok_encode(requests[i].args[0], left_truncate_len=room) for i in numbers]
            said = generate(
                self.model,
                prompts,
                stop_ids=self._stops(),
                max_new_tokens=most,
                sampling=_sampling(settings),
                until=self._until([stop for stop in stops if stop and stop != eos]),
                progress=self.progress,
            )
            for i, one in zip(numbers, said, strict=True):
                text = self.tok_decode(list(one.ids))
                answers[i] = postprocess_generated_text(text, stops, None)
                self.cache_hook.add_partial("generate_until", requests[i].args, answers[i])
        return answers

    def _stops(self) -> frozenset[int]:
        """What ends an answer in their generation: the tokenizer's end, and those that the model's folder names."""
        named = self.model.generation_config.eos_token_id
        own = named if isinstance(named, list) else [named]
        return frozenset(int(i) for i in (self.eot_token_id, *own) if i is not None)

    def _until(self, stops: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        """Whether an answer holds one of the stop texts by now; the last tokens tell."""
        if not stops:
            return None
        last = max(map(len, stops)) + 4  # a token is a character at least, but one may need several

        def over(ids: Sequence[int]) -> bool:
            text = self.tok_decode(list(ids[-last:]))
            return any(stop in text for stop in stops)

        return over


def _sampling(settings: dict[str, Any]) -> Sampling:
    temperature = float(settings.get("temperature") or 0.0)
    if not settings.get("do_sample") or temperature == 0:
        return GREEDY
    return Sampling(temperature=temperature, top_p=float(settings.get("top_p", 1.0)))
