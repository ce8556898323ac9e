"""Answers from a language model: many at once, one as a stream, or a choice among given ones.

    generate(model, prompts, stop_ids=...)          -> [Generated(ids, finished), ...]   thousands of prompts
    stream(model, prompt, stop_ids=...)             -> one id after the other            a chat
    rank_options(model, prompts, options)           -> [log-likelihoods, ...]            a choice

Works on any Hugging Face language model, also of an encoder and a decoder. Prompts are sorted by length and
run in left-padded batches, so that little is padded; equal prompts are computed once, and what many begin with (the
same examples before each question) is read once for all of them; rows that have finished leave the batch, and others
join it. The result does not depend on any of this: it is what each prompt would give alone. That holds for sampling
too, because chance comes from (seed, number of the prompt, number of the token). Only the last digits differ, as sums
are taken in another order; ``alone=True`` takes one prompt after the other, and then they do not.

Shapes: B rows, L prompt slots, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from tunesmith.core.errors import EvalError
from tunesmith.models.hf import cache as kv
from tunesmith.models.hf.attention import own_attention
from tunesmith.models.hf.config import number, windowed
from tunesmith.models.load import decoder_start

Ids = Sequence[int] | NDArray[np.int32]
Progress = Callable[[int, int], None]
"""Called with how many prompts are done and how many there are."""

_SLOTS = {"cpu": 4096, "other": 65536}
"""Prompt slots in a batch. On two cores more is not faster; a GPU wants more at once."""
_LOGIT_BYTES = 64 << 20
"""Option logits kept at a time, in bytes of float32."""
_SPREAD = 1.1
"""How much longer than its shortest the longest prompt of a batch may be, once the batch has some rows."""
_SOME = 48
_STEP = 24
"""Tokens that a model reads in the time that a small batch takes to say one."""
_STEPS = 64
"""Tokens of an answer that are counted on; most end before their limit."""
_WORTH = 48
"""Tokens that a row may still say for others to join its batch; to wait for less costs less than to join."""
_SHARED = 32
"""Tokens that prompts must have in common at their beginning for it to be read once."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model said after a prompt, without the token that ended it."""

    ids: tuple[int, ...]
    finished: bool
    """True when the model stopped by itself, False when it ran into a limit."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw the next token; temperature 0 takes the likeliest."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    numbers: tuple[int, ...] = ()
    """Of each prompt the number that, with the seed, decides what is drawn for it; left out, its place in the list."""

    def __post_init__(self) -> None:
        # Written so that NaN, which is in no order with any number, is refused too.
        if not (0 <= self.temperature < float("inf") and 0 < self.top_p <= 1):
            raise EvalError(
                f"temperature={self.temperature}, top_p={self.top_p}: wanted a finite temperature >= 0 and "
                "0 < top_p <= 1."
            )
        if 0 < self.temperature < _COLDEST:
            raise EvalError(
                f"temperature={self.temperature}: too near 0 to divide by; wanted {_COLDEST} or more, or 0 for the "
                "likeliest token each time."
            )
        for seed in (self.seed, *self.numbers):
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 64:
                raise EvalError(f"seed={seed!r}: wanted a whole number from 0 to 2^64 - 1.")


_COLDEST = 1e-4
"""Logits over a smaller temperature leave what float32 can tell apart."""
GREEDY = Sampling(temperature=0.0)


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    prompts: Sequence[Ids],
    *,
    stop_ids: frozenset[int] | Sequence[int],
    max_new_tokens: int = 64,
    sampling: Sampling = GREEDY,
    alone: bool = False,
    progress: Progress | None = None,
    each: Callable[[int, Generated], None] | None = None,
    until: Callable[[Sequence[int]], bool] | None = None,
) -> list[Generated]:
    """Continue every prompt until the model stops or has said ``max_new_tokens`` tokens.

    ``each`` is called with the number of a prompt and its answer as soon as that is known; equal prompts are told once.
    ``until`` is shown an answer after each token, and ends it where it says True.
    """
    rows = [np.asarray(p, dtype=np.int64) for p in prompts]
    room = _room(model, rows)
    # Under sampling, equal prompts have different answers.
    apart = alone or sampling.temperature > 0
    shared, which = (rows, np.arange(len(rows))) if apart else _distinct(rows)
    answers: list[Generated | None] = [None] * len(shared)
    first = {s: i for i, s in reversed(list(enumerate(which.tolist())))}
    with _answering(model, alone=alone) as run:
        limits = [min(max_new_tokens, room - len(row) * run.goes_on) for row in shared]
        found = _answers(run, shared, limits, frozenset(stop_ids), sampling, until)
        for done, (i, answer) in enumerate(found, 1):
            answers[i] = answer
            if each:
                each(first[i], answer)
            if progress:
                progress(done, len(shared))
    return [a for i in which.tolist() if (a := answers[i]) is not None]


def _answers(
    run: _Run,
    rows: Sequence[NDArray[np.int64]],
    limits: Sequence[int],
    stops: frozenset[int],
    sampling: Sampling,
    until: Callable[[Sequence[int]], bool] | None,
) -> Iterator[tuple[int, Generated]]:
    """All rows from prompt to last token; each is given back when it is done.

    Rows that are done leave the batch, and where a quarter of its places is free and the others may go on for long the
    next prompts are read and join it (continuous batching), so that one long answer does not keep the rest waiting.
    """
    if not rows:
        return
    batches = run.batches([row for row, limit in zip(rows, limits, strict=True) if limit > 0], steps=max(limits))
    waiting = deque((len(batch), batch) for batch in batches)  # the places of a batch, and who is still to have one
    number = [i for i, limit in enumerate(limits) if limit > 0]
    yield from ((i, Generated((), False)) for i, limit in enumerate(limits) if limit <= 0)
    chance = {i: _chance(sampling, i) for i in number} if sampling.temperature else {}
    stop_array = np.fromiter(stops, dtype=np.int64)
    alive: list[int] = []
    said: dict[int, list[int]] = {}
    state: _State | None = None
    logits = torch.empty(0)
    while alive or waiting:
        join = waiting and run.joins and len(alive) <= 0.75 * waiting[0][0]
        if waiting and (not alive or (join and max(limits[i] - len(said[i]) for i in alive) >= _WORTH)):
            places, batch = waiting.popleft()
            room = places - len(alive)
            if room < len(batch):
                waiting.appendleft((places, batch[room:]))
            new = [number[i] for i in batch[:room]]
            fresh, begun = run.prefill([rows[i] for i in new])
            if state is None or not alive:
                state, logits = fresh, begun
            else:
                state.join(fresh)
                logits = torch.cat([logits, begun])
            alive += new
            said.update((i, []) for i in new)
        assert state is not None
        if sampling.temperature:
            u = torch.tensor([chance[i].random() for i in alive], dtype=torch.float32)
            picked = draw(logits, u, sampling).cpu().numpy()
        else:
            picked = logits.argmax(-1).cpu().numpy()
        stopped = np.isin(picked, stop_array)
        for i, token, stop in zip(alive, picked.tolist(), stopped.tolist(), strict=True):
            if not stop:
                said[i].append(token)
        if until:
            stopped |= np.array([until(said[i]) for i in alive])
        over = stopped | np.array([len(said[i]) >= limits[i] for i in alive])
        for k in np.flatnonzero(over).tolist():
            yield alive[k], Generated(tuple(said.pop(alive[k])), bool(stopped[k]))
        if over.all():
            alive = []
            continue
        if over.any():
            state.keep(np.flatnonzero(~over))
            alive = [i for i, gone in zip(alive, over.tolist(), strict=True) if not gone]
            picked = picked[~over]
        logits = run.step(state, picked)


def stream(
    model: PreTrainedModel,
    prompt: Ids,
    *,
    stop_ids: frozenset[int] | Sequence[int],
    max_new_tokens: int = 512,
    sampling: Sampling = GREEDY,
    memory: Memory | None = None,
) -> Iterator[int]:
    """Yield one id after the other until the model stops.

    With ``memory``, what it already holds of the prompt is not computed again: a chat that goes on
    costs its new messages only.
    """
    row = np.asarray(prompt, dtype=np.int64)
    left = min(max_new_tokens, _room(model, [row]) - len(row))
    stops, chance = frozenset(stop_ids), _chance(sampling, 0)
    memory = memory if memory is not None else Memory()
    with torch.inference_mode(), _answering(model) as run:
        new = memory.reuse(row if run.goes_on else row[:0])
        if memory.state is None:
            memory.state, logits = run.prefill([row])
        else:
            logits = run.step(memory.state, new[None])
        memory.ids = row.tolist()
        while left > 0:
            if sampling.temperature:
                token = int(draw(logits, torch.tensor([chance.random()]), sampling))
            else:
                token = int(logits.argmax(-1))
            if token in stops:
                return
            yield token
            left -= 1
            if left > 0:
                logits = run.step(memory.state, np.array([token]))
                memory.ids.append(token)


@dataclass(slots=True)
class Memory:
    """What a model has already read of a chat: ids and the keys and values made from them."""

    ids: list[int] = field(default_factory=list)
    state: _State | None = None

    def reuse(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """The ids that are still to be read; the memory is emptied where the prompt does not go on from it."""
        n = len(self.ids)
        if self.state is not None and n < len(row) and row[:n].tolist() == self.ids:
            return row[n:]
        self.ids, self.state = [], None
        return row


@torch.inference_mode()
def rank_options(
    model: PreTrainedModel,
    prompts: Sequence[Ids],
    options: Sequence[Sequence[Ids]],
    *,
    alone: bool = False,
    progress: Progress | None = None,
    each: Callable[[int, NDArray[np.float64]], None] | None = None,
    greedy: list[NDArray[np.bool_]] | None = None,
) -> list[NDArray[np.float64]]:
    """The log-likelihood of each option of each prompt: the sum of log p(token) over the option's ids.

    A prompt is read once, whatever the number of its options. Pass options with the stop token at
    their end, where "Paris" is to be told from "Paris, Texas". A list given as ``greedy`` gets for each prompt which of
    its options the model would say by itself, each token being the likeliest.
    """
    if len(prompts) != len(options):
        raise EvalError(f"{len(prompts)} prompts, but options for {len(options)}.")
    rows = [np.asarray(p, dtype=np.int64) for p in prompts]
    choices = [[np.asarray(o, dtype=np.int64) for o in many] for many in options]
    if any(len(o) == 0 for many in choices for o in many):
        raise EvalError("An option has no tokens; it cannot be told from silence.")
    room = _room(model, rows)
    for row, many in zip(rows, choices, strict=True):
        if len(row) + max(map(len, many), default=0) > room + 1:  # the last token is not read
            raise EvalError(f"A prompt with its options is longer than the model's {room} positions.")
    out = [np.zeros(len(many)) for many in choices]
    said = [np.zeros(len(many), np.bool_) for many in choices]
    if greedy is not None:
        greedy[:] = said
    # Where several rows share a prompt, their options are put together and the prompt is read once.
    shared, which = (rows, np.arange(len(rows))) if alone else _distinct(rows)
    asked: list[list[tuple[int, int]]] = [[] for _ in shared]
    for i, s in enumerate(which.tolist()):
        asked[s] += [(i, j) for j in range(len(choices[i]))]
    tails = [max((len(choices[i][j]) for i, j in pairs), default=1) * len(pairs) for pairs in asked]
    done = 0
    with _answering(model, alone=alone) as run:
        for batch in run.batches(shared, tails):
            state, logits = run.prefill([shared[i] for i in batch])
            source = np.array([k for k, i in enumerate(batch) for _ in asked[i]], dtype=np.int64)
            pairs = [pair for i in batch for pair in asked[i]]
            if pairs:
                tails_ = [choices[i][j] for i, j in pairs]
                sums, likeliest = _tails(run, state, logits, source, tails_, greedy=greedy is not None)
                for (i, j), total, best in zip(pairs, sums.tolist(), likeliest.tolist(), strict=True):
                    out[i][j], said[i][j] = total, best
                if each:
                    for i in dict.fromkeys(i for i, _ in pairs):
                        each(i, out[i])
            done += len(batch)
            if progress:
                progress(done, len(shared))
    return out


def _tails(
    run: _Run,
    state: _State,
    logits: Tensor,
    source: NDArray[np.int64],
    tails: list[NDArray[np.int64]],
    *,
    greedy: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-likelihood of each tail after row ``source`` of the batch, and whether all its tokens are the likeliest."""
    first = torch.from_numpy(np.array([t[0] for t in tails]))
    at = torch.from_numpy(source)
    logp = torch.log_softmax(logits.float(), -1).cpu()
    total = logp[at, first].double().numpy()
    best = (logp.argmax(-1)[at] == first).numpy() if greedy else np.zeros(len(tails), np.bool_)
    longest = max(map(len, tails))
    if longest == 1:
        return total, best
    # Right-padded: a causal model does not see what follows, and padded targets are not counted.
    padded = np.zeros((len(tails), longest), dtype=np.int64)
    real = np.zeros((len(tails), longest), dtype=bool)
    for k, tail in enumerate(tails):
        padded[k, : len(tail)], real[k, : len(tail)] = tail, True
    state.keep(source)
    after = run.feed(state, padded[:, :-1], keep=longest - 1)
    logp = torch.log_softmax(after.float(), -1)
    targets = torch.from_numpy(padded[:, 1:]).to(logp.device)
    each = logp.gather(-1, targets[..., None])[..., 0].double().cpu().numpy()
    if greedy:
        best &= ((logp.argmax(-1) == targets).cpu().numpy() | ~real[:, 1:]).all(-1)
    return np.asarray(total + (each * real[:, 1:]).sum(-1)), best


def draw(logits: Tensor, u: Tensor, sampling: Sampling) -> Tensor:
    """One id a row [B, V] -> [B]: the token where the running sum of probabilities passes ``u``."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    p, order = torch.softmax(logits.float() / sampling.temperature, -1).sort(-1, descending=True)
    before = p.cumsum(-1) - p
    p = p.masked_fill(before >= sampling.top_p, 0.0)  # the likeliest token always stays
    total = p.cumsum(-1)
    spot = (total < u.to(p.device)[:, None] * total[:, -1:]).sum(-1, keepdim=True)
    last = (p > 0).sum(-1, keepdim=True) - 1
    return order.gather(-1, torch.minimum(spot, last))[:, 0]


def _chance(sampling: Sampling, number: int) -> np.random.Generator:
    number = sampling.numbers[number] if sampling.numbers else number
    return np.random.Generator(np.random.Philox(key=np.array([sampling.seed, number], np.uint64)))


# -- one model, one batch ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _State:
    """What the model remembers of the rows of a batch."""

    cache: Any
    slots: int
    """How many the cache holds of each row."""
    mask: Tensor | None
    """[B, slots] 0 where a slot is padding; None where none is."""
    positions: Tensor
    """[B] the position of the next token."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Go on with these rows only; a row may be named more than once."""
        index = torch.from_numpy(rows).to(self.positions.device)
        kv.select(self.cache, index)
        self.positions = self.positions[index]
        if self.mask is not None:
            self.mask = self.mask[index]

    def join(self, other: _State) -> None:
        """Go on with the rows of another state as well. The shorter one is padded on the left; slots that no row needs
        any more are given up first."""
        masks = [side.full_mask() for side in (self, other)]
        used = [mask[:, first:] for mask in masks for first in (int((mask != 0).any(0).int().argmax()),)]
        self.slots = max(mask.shape[1] for mask in used)
        self.mask = torch.cat([torch.nn.functional.pad(mask, (self.slots - mask.shape[1], 0)) for mask in used])
        if bool(self.mask.all()):
            self.mask = None
        kv.join(self.cache, other.cache, (used[0].shape[1], used[1].shape[1]))
        self.positions = torch.cat([self.positions, other.positions])

    def full_mask(self) -> Tensor:
        """[B, slots], whether or not any is padding."""
        if self.mask is not None:
            return self.mask
        return self.positions.new_ones(len(self.positions), self.slots)

    def copies(self, count: int) -> _State:
        """The state of one row, for so many rows; this one stays as it is."""
        return _State(kv.repeated(self.cache, count), self.slots, None, self.positions.expand(count))


class _Run:
    """The forward pass of one model, in the words of this file."""

    goes_on = True
    """Whether what was said so far may grow into the next prompt."""

    def __init__(self, model: PreTrainedModel, *, alone: bool = False) -> None:
        self.model = model
        self.alone = alone
        self.device = next(model.parameters()).device
        # A recurrent state would run over padding, so such models get prompts of one length only.
        self.exact = not kv.Reading.of(model).plain
        self.vocabulary = number(model.config, "vocab_size")
        self.windowed = windowed(model.config)
        self._begun: tuple[NDArray[np.int64], _State] | None = None
        """What prompts have begun with so far, and the state after it."""

    def batches(
        self, rows: Sequence[NDArray[np.int64]], tails: Sequence[int] | None = None, steps: int = 0
    ) -> Iterator[list[int]]:
        """Row numbers of each batch, longest prompts first: memory runs out at once or not at all.

        Prompts that begin alike come together, and then only what follows counts for their length. The more ``steps``
        may follow, the more a batch of its own costs, and the more padding is taken into one.
        """
        slots = _SLOTS["cpu" if self.device.type == "cpu" else "other"]
        most_tails = max(1, _LOGIT_BYTES // (4 * self.vocabulary))
        worth = _STEP * min(steps, _STEPS)  # what a batch of its own costs, in tokens that are read
        kind, begun = _alike(rows, worth) if self.shares else ([0] * len(rows), [0])
        lengths = [len(row) - begun[k] for row, k in zip(rows, kind, strict=True)]
        batch: list[int] = []
        held = padding = 0
        for i in sorted(range(len(rows)), key=lambda i: (-begun[kind[i]], kind[i], -lengths[i])):
            tail = tails[i] if tails is not None else 0
            if batch:
                longest = lengths[batch[0]]
                padding += longest - lengths[i]
                if steps:
                    spread = padding > worth
                else:
                    spread = longest > (_SPREAD if len(batch) >= _SOME else 2.0) * max(lengths[i], 1)
                # The keys and values of what is shared stand before each row all the same.
                room = (longest + begun[kind[i]] // 4) * (len(batch) + 1)
                full = self.alone or room > slots or held + tail > most_tails or kind[batch[0]] != kind[i]
                if full or spread or (self.exact and longest != lengths[i]):
                    yield batch
                    batch, held, padding = [], 0, 0
            batch.append(i)
            held += tail
        if batch:
            yield batch

    @property
    def joins(self) -> bool:
        """Whether prompts may join a batch that is being answered; the same holds for padding in front of them."""
        return self.goes_on and not self.exact and not self.alone and not self.windowed

    @property
    def shares(self) -> bool:
        """Whether the beginning of prompts is read once for many. A sliding window would count empty slots behind
        it."""
        return self.joins

    def prefill(self, rows: Sequence[NDArray[np.int64]]) -> tuple[_State, Tensor]:
        """Read prompts of any lengths; gives the state and the logits [B, V] of what comes next."""
        same = known = 0
        if self.shares:
            # Something has to be left of each prompt that gives logits.
            most = min(len(row) for row in rows) - 1
            same = min(most, *(_same(rows[0], row) for row in rows)) if len(rows) > 1 else 0
            if self._begun is not None and all(_begins(row, self._begun[0]) for row in rows):
                known = len(self._begun[0]) if len(self._begun[0]) <= most else 0
        if same >= _SHARED and same // 2 >= known:
            self._begun, known = (rows[0][:same], self._read([rows[0][:same]])[0]), same
        if self._begun is None or known < _SHARED:
            return self._read(rows)
        same = known
        state = self._begun[1].copies(len(rows))
        rest = [row[same:] for row in rows]
        longest = max(map(len, rest))
        ids, mask = _left_padded(rest, longest)
        if not mask.all():
            before = torch.ones(len(rows), same, dtype=torch.long, device=self.device)
            state.mask = torch.cat([before, torch.from_numpy(mask).to(self.device)], 1)
        positions = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0) + same).to(self.device)
        logits = self._forward(state, torch.from_numpy(ids).to(self.device), positions, keep=1)
        state.positions = torch.tensor([len(r) for r in rows], device=self.device)
        return state, logits[:, -1]

    def _read(self, rows: Sequence[NDArray[np.int64]]) -> tuple[_State, Tensor]:
        """Prompts from their first token on."""
        ids, mask = _left_padded(rows, max(map(len, rows)))
        padded = None if mask.all() else torch.from_numpy(mask).to(self.device)
        state = _State(None, 0, padded, torch.zeros(len(rows), dtype=torch.long, device=self.device))
        positions = torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0)).to(self.device)
        logits = self._forward(state, torch.from_numpy(ids).to(self.device), positions, keep=1)
        state.positions = torch.tensor([len(r) for r in rows], device=self.device)
        return state, logits[:, -1]

    def step(self, state: _State, ids: NDArray[np.int64]) -> Tensor:
        """Read one more token of each row [B] (or several, [B, n]); the logits [B, V] of what comes next."""
        return self.feed(state, ids if ids.ndim == 2 else ids[:, None], keep=1)[:, -1]

    def feed(self, state: _State, ids: NDArray[np.int64], keep: int) -> Tensor:
        """Read more tokens of each row [B, n]; the logits of the last ``keep``."""
        n = ids.shape[1]
        if self.exact and n > 1:  # recurrent layers take a prompt, or one token after it, but not several
            each = [self.feed(state, ids[:, k : k + 1], 1) for k in range(n)]
            return torch.cat(each, 1)[:, -keep:]
        if state.mask is not None:
            state.mask = torch.nn.functional.pad(state.mask, (0, n), value=1)
        positions = state.positions[:, None] + torch.arange(n, device=self.device)
        logits = self._forward(state, torch.from_numpy(ids).to(self.device), positions, keep)
        state.positions = state.positions + n
        return logits

    def _forward(self, state: _State, ids: Tensor, positions: Tensor, keep: int) -> Tensor:
        given = {"input_ids": ids, "attention_mask": state.mask}
        logits, state.cache = kv.read(self.model, state.cache, keep=keep, positions=positions, **given)
        state.slots += ids.shape[1]
        return logits


@dataclass(slots=True)
class _PairState(_State):
    """What an encoder-decoder remembers: also what its encoder has read."""

    read: Tensor
    real: Tensor
    """[B, S] 0 where a slot of it is padding."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        _State.keep(self, rows)
        index = torch.from_numpy(rows).to(self.read.device)
        self.read, self.real = self.read[index], self.real[index]


class _PairRun(_Run):
    """The same for an encoder-decoder: the prompt is read once, by the encoder, and the answer begins anew."""

    goes_on = False

    def __init__(self, model: PreTrainedModel, *, alone: bool = False) -> None:
        super().__init__(model, alone=alone)
        self.exact = False
        self.start = decoder_start(model)

    def prefill(self, rows: Sequence[NDArray[np.int64]]) -> tuple[_State, Tensor]:
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        real = np.zeros((len(rows), longest), dtype=np.int64)
        for k, row in enumerate(rows):
            ids[k, : len(row)], real[k, : len(row)] = row, 1
        mask = torch.from_numpy(real).to(self.device)
        encoder: Any = self.model.get_encoder()
        read = encoder(input_ids=torch.from_numpy(ids).to(self.device), attention_mask=mask).last_hidden_state
        none = torch.zeros(len(rows), dtype=torch.long, device=self.device)
        state = _PairState(None, 0, None, none, read, mask)
        return state, self.step(state, np.full(len(rows), self.start))

    def _forward(self, state: _State, ids: Tensor, positions: Tensor, keep: int) -> Tensor:
        assert isinstance(state, _PairState)
        given = {"encoder_outputs": kv.encoded(state.read), "attention_mask": state.real, "decoder_input_ids": ids}
        logits, state.cache = kv.read(self.model, state.cache, keep=keep, **given)
        return logits


@contextmanager
def _answering(model: PreTrainedModel, *, alone: bool = False) -> Iterator[_Run]:
    """The model in evaluation mode, with an attention that knows caches; afterwards it is as it was."""
    training = model.training
    model.train(False)
    try:
        with own_attention(model):
            yield (_PairRun if model.config.is_encoder_decoder else _Run)(model, alone=alone)
    finally:
        model.train(training)


def _left_padded(rows: Sequence[NDArray[np.int64]], longest: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and mask [B, longest]."""
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for k, row in enumerate(rows):
        ids[k, longest - len(row) :] = row
        mask[k, longest - len(row) :] = 1
    return ids, mask


def _same(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """How many tokens two prompts have in common at their beginning."""
    n = min(len(a), len(b))
    different = np.flatnonzero(a[:n] != b[:n])
    return int(different[0]) if len(different) else n


def _begins(row: NDArray[np.int64], with_: NDArray[np.int64]) -> bool:
    return np.array_equal(row[: len(with_)], with_)


def _alike(rows: Sequence[NDArray[np.int64]], worth: int = 0) -> tuple[list[int], list[int]]:
    """Of which kind each prompt is, and how much the prompts of a kind share at their beginning.

    In alphabetical order those that begin alike are neighbours. A kind goes on as long as what it would share is more
    than half of what its prompts share by now: a few tokens that all have are no reason to put them together.
    """
    kind, begun = [0] * len(rows), [0]
    order = sorted(range(len(rows)), key=lambda i: rows[i].astype(">i8").tobytes())
    count, shared = 0, 0
    for before, i in zip([None, *order], order, strict=False):
        same = _same(rows[before], rows[i]) if before is not None else 0
        if same >= _SHARED and (count == 1 or same > shared / 2):
            shared = same if count == 1 else min(shared, same)
            count += 1
        else:
            begun.append(0)
            count, shared = 1, 0
        kind[i] = len(begun) - 1
        begun[kind[i]] = shared
    # Prompts that share nothing with a neighbour, or less than it is worth, are of one kind.
    many = np.bincount(kind, minlength=len(begun))
    begun = [n if n * (count - 1) > worth else 0 for n, count in zip(begun, many.tolist(), strict=True)]
    return [k if begun[k] else 0 for k in kind], begun


def _distinct(rows: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """The different prompts, and which of them each row is."""
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(row.tobytes(), len(first)) for row in rows], dtype=np.int64)
    shared: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(first)
    for row, i in zip(rows, which.tolist(), strict=True):
        shared[i] = row
    return shared, which


def positions(model: PreTrainedModel) -> int:
    """How many tokens the model can read; a number beyond all where it says nothing."""
    config = getattr(model, "config", None)
    return (config is not None and number(config, "max_position_embeddings")) or 1 << 30


def _room(model: PreTrainedModel, rows: Sequence[NDArray[np.int64]]) -> int:
    """How many positions the model has; a prompt that does not fit is refused."""
    room = positions(model)
    for i, row in enumerate(rows):
        if not len(row):
            raise EvalError(f"Prompt {i} is empty; a model needs at least one token to go on from.")
        if len(row) > room:
            raise EvalError(f"Prompt {i} has {len(row)} tokens, more than the model's {room} positions.")
    return room
