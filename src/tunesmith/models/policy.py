"""A model as objectives see it: flat documents in, hidden states and summed losses out.

    hidden = policy.hidden(ids, packed)                   [T, H]
    total  = policy.token_loss(hidden[positions], targets)

The policy knows where the model's trunk and output layer are, and checks once that packed computation says
what the model itself says (``check``). A model that cannot be computed packed, because its layers let documents see
each other or its attention is of a kind of its own, is computed document beside document, like lengths together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tunesmith.core.errors import TrainError, TunesmithError
from tunesmith.models import attention
from tunesmith.models.attention import Packed
from tunesmith.models.head import linear_cross_entropy
from tunesmith.models.hf.attention import exchange, own_attention, restore
from tunesmith.models.hf.cache import last_logits
from tunesmith.models.hf.config import number, reach, setting

STEP = 16
"""Side by side, lengths are filled up to multiples of this."""


def _plainly(do: Callable[[], Tensor]) -> Tensor:
    return do()


def joined(hidden: Tensor, company: Tensor) -> Tensor:
    """The same hidden states, with a backward pass that goes through ``company`` too and brings it no gradient."""
    return hidden + 0 * company.reshape(-1)[:1]


class Policy:
    """A causal language model that is trained or scored on packed documents."""

    def __init__(self, model: PreTrainedModel, *, noise: float = 0.0) -> None:
        asked: Any = model
        head = asked.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise TrainError(f"{type(model).__name__} is not a language model with a linear output layer.")
        self.model = model
        self.head = head
        self.trunk = self._find_trunk(model)
        config = model.config
        self._cap = float(setting(config, "final_logit_softcapping") or 0.0)
        # Granite divides its logits, Cohere multiplies them; for hidden states it is the same.
        self._scale = float(setting(config, "logit_scale") or 1 / (setting(config, "logits_scaling") or 1))
        self.run: Callable[[Callable[[], Tensor]], Tensor] = _plainly
        """Everything that is computed with the model goes through this: a divided model is gathered here."""
        self.agree: Callable[[int], int] = int
        """The most passes that any rank makes of so many of ours. The ranks of a divided model gather its layers
        together, so each of them has to make as many."""
        self.packs = True
        """Whether documents lie end to end; if not, they stand side by side, and ``why`` says why."""
        self.fused = True
        """Whether attention may use its fast kernels; if not, ``why`` says why."""
        self.why = ""
        heads = number(config, "num_attention_heads")  # a state-space model has none
        width = number(config, "head_dim") or number(config, "hidden_size") // max(1, heads)
        self._work_of_pair = 2 * number(config, "num_hidden_layers") * heads * width
        apart = {id(p) for m in self.trunk.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        apart.add(id(head.weight))
        self._work_of_token = sum(p.numel() for p in self.trunk.parameters() if p.ndim > 1 and id(p) not in apart)
        if noise:
            asked.get_input_embeddings().register_forward_hook(self._noisy)
        self._noise = noise
        self._length: Tensor | None = None
        """The length of the document that each token of the pass stands in."""
        self._exchange_attention()

    def _find_trunk(self, model: PreTrainedModel) -> nn.Module:
        if model.base_model is model:
            raise TrainError(f"{type(model).__name__} is not a causal language model with layers below its output.")
        return model.base_model

    def _exchange_attention(self) -> None:
        if not exchange(self.model, attention.NAME):
            self._stand_apart("its attention cannot be exchanged")

    @property
    def _bias(self) -> Tensor | None:
        """What is added to the logits; BART keeps it outside of its output layer."""
        bias: Tensor | None = self.head.bias
        own: Tensor | None = getattr(self.model, "final_logits_bias", None)
        return bias if own is None else own.view(-1)

    def hidden(self, ids: Tensor, packed: Packed) -> Tensor:
        """[T] ids -> [T, H] last hidden states, each document on its own."""
        if not self.packs:
            return self._side_by_side(ids, packed)
        if self._noise:
            n = torch.tensor([*packed.lengths, *[packed.spare] * bool(packed.spare)], device=ids.device)
            self._length = n.repeat_interleave(n)[None, :, None]
        out = self.trunk(
            input_ids=ids[None],
            position_ids=packed.positions[None],
            use_cache=False,
            packed=packed,
            fused=self.fused,
        )
        last: Tensor = out.last_hidden_state[0]
        return last

    def _side_by_side(self, ids: Tensor, packed: Packed) -> Tensor:
        """The same, with documents as rows of a batch, filled up at their end, where no token of theirs can look."""
        starts = [0, *itertools.accumulate(packed.lengths)]
        by_size: dict[int, list[int]] = {}
        for i, length in enumerate(packed.lengths):
            by_size.setdefault(-(-length // STEP) * STEP, []).append(i)
        parts, places = [], []
        passes = sorted(by_size.items())
        for size, documents in passes:
            n = torch.tensor([packed.lengths[i] for i in documents], device=ids.device)
            begin = torch.tensor([starts[i] for i in documents], device=ids.device)
            slot = torch.arange(size, device=ids.device)
            real = slot < n[:, None]
            at = begin[:, None] + torch.minimum(slot, n[:, None] - 1)
            self._length = n[:, None, None]
            out = self.trunk(input_ids=ids[at], attention_mask=real.long(), use_cache=False)
            parts.append(out.last_hidden_state[real])
            places.append(at[real])
        for _ in range(self.agree(len(passes)) - len(passes)):
            # For the company of other ranks: a document again, which counts for nothing.
            out = self.trunk(input_ids=ids[at[:1]], attention_mask=real[:1].long(), use_cache=False)
            parts[0] = joined(parts[0], out.last_hidden_state)
        place = torch.cat(places)
        spare = torch.arange(packed.tokens, len(ids), device=ids.device)  # nothing is learned from these
        found = torch.cat([*parts, parts[0].new_zeros(len(spare), parts[0].shape[-1])])
        return found.index_select(0, torch.cat([place, spare]).argsort())

    def _noisy(self, layer: nn.Module, inputs: Any, embedded: Tensor) -> Tensor:
        """NEFTune (Jain et al. 2023): uniform noise, alpha / sqrt(length * width) wide, while training."""
        if not self.model.training or self._length is None:
            return embedded
        width = self._noise / (self._length * embedded.shape[-1]).sqrt()
        return embedded + (2 * torch.rand_like(embedded) - 1) * width.to(embedded.dtype)

    def _stand_apart(self, why: str) -> None:
        self.packs, self.why = False, why
        restore(self.model)

    def work(self, packed: Packed) -> tuple[int, int]:
        """(all, idle) multiplications of the trunk: for spare tokens, and for the empty slots of attention's tiles."""
        if not self.packs:
            sizes = [-(-n // STEP) * STEP for n in packed.lengths]
            spare = (sum(sizes) - packed.tokens) * self._work_of_token
            pairs = sum(size**2 for size in sizes)
            idle = sum((size - n) * size for size, n in zip(sizes, packed.lengths, strict=True)) * self._work_of_pair
            return packed.tokens * self._work_of_token + spare + pairs * self._work_of_pair, spare + idle
        pairs, empty = packed.pairs
        spare, idle = packed.spare * self._work_of_token, empty * self._work_of_pair
        return packed.tokens * self._work_of_token + spare + pairs * self._work_of_pair, spare + idle

    def flops(self, work: float, learned: float) -> float:
        """Floating-point operations of a forward and backward pass; frozen weights have no gradient of their own."""
        frozen = not self.head.weight.requires_grad
        return 2 * (2 if frozen else 3) * (work + learned * self.head.weight.numel())

    def token_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy of the ids ``targets`` [M] at hidden states [M, H]."""
        return self.token_losses(hidden, targets)[0]

    def token_losses(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the cross-entropy of each [M], from which nothing is learned."""
        if self._scale != 1:
            hidden = hidden * self._scale
        return linear_cross_entropy(hidden, self.head.weight, targets, self._bias, self._cap)

    @torch.no_grad()
    def logits(self, ids: Tensor, packed: Packed) -> Tensor:
        """[T, V] logits everywhere: for checks and small things."""
        return self.logits_of(self.hidden(ids, packed))

    def logits_of(self, hidden: Tensor) -> Tensor:
        """[M, H] hidden states -> [M, V] logits, for objectives that need more than the cross-entropy."""
        logits = nn.functional.linear(hidden * self._scale, self.head.weight, self._bias)
        if self._cap:
            logits = self._cap * torch.tanh(logits / self._cap)
        return logits

    @torch.no_grad()
    def check(self, longest: int | None = None) -> None:
        """See to it that what is computed is what the model itself says, and that no document sees another.

        Documents of up to ``longest`` tokens are tried, the longest that will be trained on; by default, one that is
        longer than every window of the model. Documents are changed one after the other: the logits of the others must
        stay the same to the last bit. Then the logits of each are compared with the model's own forward on it. A model
        that fails while packed is computed without the fast kernels, then document beside document, with the reason in
        ``why``; one that fails then too is refused.
        """
        layouts = self._layouts(longest)
        was_training = self.model.training
        self.model.train(False)
        try:
            while self.packs:
                try:
                    for packed in layouts:
                        self._compare(packed, exactly=True)
                    return
                except (TunesmithError, RuntimeError, TypeError, ValueError) as error:
                    self.why = str(error).splitlines()[0]
                    if self.fused:
                        self.fused = False
                    else:
                        self._stand_apart(self.why)
            try:
                for packed in layouts:
                    self._compare(packed, exactly=False)
            except TrainError as error:
                raise TrainError(f"{error} It cannot be trained packed either: {self.why}") from None
        finally:
            self.model.train(was_training)

    def _layouts(self, longest: int | None) -> list[Packed]:
        """The documents of each comparison: short ones first, which say soon what is wrong; then a long one between
        two short ones, so that a rule for far tokens acts, and acts on one document only."""
        config = self.model.config
        room = number(config, "max_position_embeddings") or 1 << 30
        long = min(reach(config) + 9 if longest is None else max(9, longest), room)
        return [Packed.of(many, self.head.weight.device) for many in ((5, 7), (5, long, 7))]

    def _compare(self, packed: Packed, *, exactly: bool) -> None:
        name = type(self.model).__name__
        drawn = torch.randint(self._vocabulary, (packed.tokens,), generator=torch.Generator().manual_seed(0))
        ids = drawn.to(self.head.weight.device)
        starts = [0, *itertools.accumulate(packed.lengths)]
        spans = [slice(a, b) for a, b in itertools.pairwise(starts)]
        # The last tokens of a document have seen all of it; logits everywhere would take gigabytes.
        said = [self._said(packed, k, span) for k, span in enumerate(spans)]
        seen = [torch.arange(max(s.start, s.stop - _SEEN), s.stop, device=ids.device) for s in said]
        before = self._at(ids, packed, seen)
        if self.packs and not packed.asked:
            raise TrainError(f"{name} computes its attention itself, whatever it is given.")
        allowed, scale = _allowed(before[0].dtype), max(1.0, *(float(x.abs().max()) for x in before))
        for changed, span in enumerate(spans[:-1]):
            others = ids.clone()
            others[span] = (others[span] + 1) % self._vocabulary
            after = self._at(others, packed, seen)
            for k, (a, b) in enumerate(zip(before, after, strict=True)):
                if k == changed and torch.equal(a, b):
                    raise TrainError(f"{name} gives the same logits for different ids; the weights are damaged.")
                # Side by side, a neighbour may change the rounding, as experts are computed together. Packed, none may.
                if k != changed and not _near(a, b, 0.0 if exactly else 0.1 * allowed * scale):
                    raise TrainError(f"{name} lets packed documents see each other.")
        with own_attention(self.model):
            for k, (span, ours) in enumerate(zip(spans, before, strict=True)):
                own = self._own_logits(ids[None, span], packed, k, keep=len(ours))
                if not _near(own, ours, allowed * scale):
                    raise TrainError(
                        f"Logits of {name} differ from its own on a document of {span.stop - span.start} tokens; its "
                        "output or attention has a part that is not known here."
                    )

    def _at(self, ids: Tensor, packed: Packed, seen: list[Tensor]) -> list[Tensor]:
        """The logits of some tokens of each document."""
        found = self.run(lambda: self.logits_of(self.hidden(ids, packed)[torch.cat(seen)]))
        return list(torch.split(found, [len(at) for at in seen]))

    def _said(self, packed: Packed, document: int, span: slice) -> slice:
        """The tokens of a document whose hidden states predict something."""
        return span

    def _own_logits(self, ids: Tensor, packed: Packed, document: int, keep: int) -> Tensor:
        """What the model says after the last tokens of a document, [keep, V]."""
        return self.run(lambda: last_logits(self.model, keep, input_ids=ids))

    @property
    def _vocabulary(self) -> int:
        return self.head.weight.shape[0]


_SEEN = 8
"""So many of the last tokens of a document are looked at."""


def _allowed(dtype: torch.dtype) -> float:
    """How far two ways of computing the same may be apart, as a part of the largest logit."""
    return 0.06 if dtype in (torch.bfloat16, torch.float16) else 1e-3


def _near(a: Tensor, b: Tensor, most: float) -> bool:
    """Whether no number differs by more than ``most``; what is not a number is near nothing."""
    return float((a - b).abs().max()) <= most
