"""An encoder-decoder as objectives see it: T5, BART and their kin, trained on the same rows as any other model.

A document is a question and its answer end to end, as for a causal model. The encoder reads what stands before the
first learned token, the decoder says the rest; ``hidden`` gives the decoder's states where a causal model has its own,
so that ``hidden[at]`` predicts ``targets`` for both. Documents stand side by side, those of like lengths together.

Shapes: T tokens, N documents of a size, S source slots, A answer slots, H hidden size.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.core.errors import TrainError
from tunesmith.models.attention import Packed
from tunesmith.models.hf.cache import last_logits
from tunesmith.models.hf.config import number, setting
from tunesmith.models.load import decoder_start
from tunesmith.models.policy import STEP, Policy, joined


class Seq2SeqPolicy(Policy):
    """An encoder-decoder that is trained on packed documents."""

    def __init__(self, model: PreTrainedModel, *, noise: float = 0.0) -> None:
        super().__init__(model, noise=noise)
        self._start = decoder_start(model)
        if setting(model.config, "scale_decoder_outputs"):
            self._scale = number(model.config, "d_model") ** -0.5

    def _find_trunk(self, model: PreTrainedModel) -> nn.Module:
        return model

    def _exchange_attention(self) -> None:
        self._stand_apart("its encoder reads the question and its decoder says the answer")

    def hidden(self, ids: Tensor, packed: Packed) -> Tensor:
        """[T] ids -> [T, H]: before each token of an answer the decoder's state that predicts it, nothing elsewhere."""
        model: Any = self.model
        starts = [0, *itertools.accumulate(packed.lengths)]
        sizes: dict[tuple[int, int], list[int]] = {}
        for i, (n, asked) in enumerate(zip(packed.lengths, packed.begins, strict=True)):
            if not 0 < asked < n:
                raise TrainError("A document for an encoder-decoder is a question and an answer; one lacks a part.")
            sizes.setdefault((-(-asked // STEP) * STEP, -(-(n - asked) // STEP) * STEP), []).append(i)
        parts, places = [], []
        passes = sorted(sizes.items())
        company = self.agree(len(passes)) - len(passes)
        for k, ((source, answer), documents) in enumerate([*passes, *[(passes[0][0], passes[0][1][:1])] * company]):
            begin, first, length = torch.tensor(
                [[starts[i], packed.begins[i], packed.lengths[i]] for i in documents], device=ids.device
            ).T[:, :, None]
            slot, place = torch.arange(source, device=ids.device), torch.arange(answer, device=ids.device)
            mask, real = slot < first, place < length - first
            self._length = first[:, :, None]
            read = model.get_encoder()(
                input_ids=ids[begin + torch.minimum(slot, first - 1)], attention_mask=mask.long()
            ).last_hidden_state
            at = begin + first - 1 + torch.minimum(place, length - first - 1)  # [N, A] the token before each answer's
            given = ids[at]
            given[:, 0] = self._start
            out = model.get_decoder()(
                input_ids=given, encoder_hidden_states=read, encoder_attention_mask=mask.long(), use_cache=False
            ).last_hidden_state
            if k < len(passes):
                parts.append(out[real])
                places.append(at[real])
            else:  # for the company of other ranks: a document again, which counts for nothing
                parts[0] = joined(parts[0], out)
        place_of = torch.cat(places)
        found = parts[0].new_zeros(len(ids), parts[0].shape[-1])
        hidden: Tensor = found.index_copy(0, place_of, torch.cat(parts))
        return hidden

    def work(self, packed: Packed) -> tuple[int, int]:
        """(all, idle) multiplications: each side's weights count for the slots that it has."""
        weights = self._work_of_token // 2
        real = idle = 0
        for length, first in zip(packed.lengths, packed.begins, strict=True):
            for n in (first, length - first):
                slots = -(-n // STEP) * STEP
                real += n * weights + n * slots * self._work_of_pair // 2
                idle += (slots - n) * (weights + slots * self._work_of_pair // 2)
        return real + idle, idle

    def _layouts(self, longest: int | None) -> list[Packed]:
        """As for a causal model, with short answers, and the long document once more with a short question."""
        short, long = super()._layouts(longest)
        answers = [packed.beginning([n - 3 for n in packed.lengths]) for packed in (short, long)]
        return [*answers, long.beginning([2] * len(long.lengths))]

    def _said(self, packed: Packed, document: int, span: slice) -> slice:
        # The state that predicts a token stands before it, so nothing stands at the last one.
        return slice(span.start + packed.begins[document] - 1, span.stop - 1)

    def _own_logits(self, ids: Tensor, packed: Packed, document: int, keep: int) -> Tensor:
        first = packed.begins[document]
        given = ids[:, first - 1 : -1].clone()
        given[:, 0] = self._start
        return self.run(lambda: last_logits(self.model, keep, input_ids=ids[:, :first], decoder_input_ids=given))
