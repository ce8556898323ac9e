"""From text to ids with a Hugging Face tokenizer, keeping control tokens out of ordinary text.

A tokenizer's added tokens are of two kinds. *Control* tokens ("<|im_end|>", "<think>", "</s>") steer
the model; only a template may write them. *Ordinary* ones (runs of spaces in some tokenizers, domain
words) are vocabulary like any other. ``TextTokenizer`` is the tokenizer without its control tokens:
what it is given is text, whatever it looks like.

The byte-pair work is done by ``fastokens`` where it agrees with ``tokenizers`` on a battery of plain
and adversarial strings at load, else by ``tokenizers``, and ``notice`` says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, cast

import fastokens
import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tunesmith.core.errors import TemplateRefused

Ids = NDArray[np.int32]

PROBES = (
    "The quick brown fox jumps over 13 lazy dogs, doesn't it?",
    "  two  spaces\tand\ttabs \n\n new lines\r\n \n  end  ",
    "汉语和English混排，标点。数字１２３ 4567890",
    "émigré naïve Ω≈ç√ ﬁ ① e\u0301 \u200b\u00a0\u3000\ufeff",
    "👩‍👩‍👧‍👦 🇨🇳 \U0001f469\U0001f3fd‍💻",
    "def f(x):\n\treturn x**2  # <b>&amp;</b>\n",
    "<|im_start|>system\n<|im_end|></s><s>[INST] <think>\n</think><|endoftext|>",
    "don't WE'LL I'm they've ''' 's 're ",
    "a" * 300 + " " * 70 + "!" * 40,
    "\n",
    " ",
    "",
)


class Control:
    """One control token: its text, its id, and whether it swallows the spaces beside it."""

    __slots__ = ("id", "lstrip", "rstrip", "text")

    def __init__(self, text: str, id: int, lstrip: bool, rstrip: bool) -> None:
        self.text, self.id, self.lstrip, self.rstrip = text, id, lstrip, rstrip


_BRACKETED = re.compile(r"^(<.+>|\[.+\]|\{.+\}|｜.+｜|<?\|.+\|>?)$", re.DOTALL)


def is_control(text: str, special: bool, template: str) -> bool:
    """Special tokens, tokens that the chat template writes, and anything in the shape of a delimiter."""
    if not text.strip():
        return False
    return special or bool(_BRACKETED.match(text)) or (not text.isalnum() and text in template)


class TextTokenizer:
    """A tokenizer for text alone: no control token can come out of it."""

    def __init__(self, tok: PreTrainedTokenizerBase, template: str = "") -> None:
        backend = getattr(tok, "backend_tokenizer", None)
        if not isinstance(backend, Tokenizer):
            raise TemplateRefused(
                f"{type(tok).__name__} has no `tokenizers` backend, so its text and control tokens cannot be told "
                "apart exactly. Convert it to a fast tokenizer (tokenizer.json) first."
            )
        spec = json.loads(backend.to_str())
        self.controls: dict[str, Control] = {}
        ordinary = []
        for token in spec["added_tokens"]:
            if is_control(token["content"], token["special"], template):
                self.controls[token["content"]] = Control(
                    token["content"], token["id"], token["lstrip"], token["rstrip"]
                )
            else:
                ordinary.append(token)
        self.control_ids = np.array(sorted(c.id for c in self.controls.values()), np.int64)
        self.pattern = _pattern(self.controls)
        spec["added_tokens"] = ordinary
        spec["post_processor"] = None
        spec["truncation"] = spec["padding"] = None
        # Only the text before every control token can be "first"; all other text follows one.
        self._first = Tokenizer.from_str(json.dumps(spec))
        later = _without_first_prefix(spec)
        self._slow = self._first if later is spec else Tokenizer.from_str(json.dumps(later))
        self.notice = ""
        self._fast = self._load_fast(later)

    def _load_fast(self, spec: dict[str, Any]) -> fastokens.Tokenizer | None:
        try:
            fast = fastokens.Tokenizer.from_json_str(json.dumps(spec))
            probes = [*PROBES, *self.controls, "x".join(self.controls), " ".join(reversed([*self.controls]))]
            ids, offsets = _flat(fast.encode_batch_flat(probes))
        except Exception as error:  # any failure of an optional engine means: use the other one
            self.notice = f"fastokens cannot load this tokenizer ({_first_line(error)}); using tokenizers."
            return None
        for i, probe in enumerate(probes):
            if self._slow.encode(probe, add_special_tokens=False).ids != ids[offsets[i] : offsets[i + 1]].tolist():
                self.notice = f"fastokens disagrees with tokenizers on {probe[:40]!r}; using tokenizers."
                return None
        return fast

    @property
    def engine(self) -> str:
        return "tokenizers" if self._fast is None else "fastokens"

    def encode_batch(self, texts: Sequence[str]) -> tuple[Ids, NDArray[np.int64]]:
        """All texts end to end, and where each begins. No text may open a rendering: see ``encode_first``."""
        if self._fast is not None:
            ids, offsets = _flat(self._fast.encode_batch_flat(list(texts)))
        else:
            rows = [e.ids for e in self._slow.encode_batch_fast(list(texts), add_special_tokens=False)]
            offsets = np.zeros(len(rows) + 1, np.int64)
            np.cumsum([len(r) for r in rows], out=offsets[1:])
            ids = np.fromiter((i for r in rows for i in r), np.int32, int(offsets[-1]))
        if len(self._unreachable):
            self._check(ids, offsets, texts)
        return ids, offsets

    def encode(self, text: str) -> Ids:
        return self.encode_batch([text])[0]

    def encode_first(self, text: str) -> Ids:
        """The ids of text that stands at the very start of a rendering."""
        if self._first is self._slow:
            return self.encode(text)
        return np.array(self._first.encode(text, add_special_tokens=False).ids, np.int32)

    def tokens_before(self, at: int, text: str, *, first: bool = False) -> tuple[int, bool]:
        """How many tokens of ``text`` touch its first ``at`` characters, and whether none straddles them.

        Slow; for the rare text whose ids do not simply begin with those of its first part.
        """
        engine = self._first if first else self._slow
        offsets = engine.encode(text, add_special_tokens=False).offsets
        touching = [b for a, b in offsets if a < at]
        return len(touching), not touching or touching[-1] <= at

    @cached_property
    def _unreachable(self) -> Ids:
        """Control ids that the model itself knows as pieces of text, and so could produce from text."""
        vocab = self._slow.get_vocab(with_added_tokens=False)
        return np.array(sorted(c.id for c in self.controls.values() if c.text in vocab), np.int32)

    def _check(self, ids: Ids, offsets: NDArray[np.int64], texts: Sequence[str]) -> None:
        hits = np.flatnonzero(np.isin(ids, self._unreachable))
        if len(hits):
            row = int(np.searchsorted(offsets, hits[0], side="right")) - 1
            token = self._slow.id_to_token(int(ids[hits[0]]))
            raise TemplateRefused(
                f"The tokenizer's model makes the control token {token!r} from ordinary text "
                f"({texts[row][:60]!r}). Text that holds it cannot be encoded safely."
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _flat(pair: tuple[bytes, bytes]) -> tuple[Ids, NDArray[np.int64]]:
    return np.frombuffer(pair[0], np.uint32).view(np.int32), np.frombuffer(pair[1], np.uint64).view(np.int64)


def _pattern(controls: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(controls, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _without_first_prefix(spec: dict[str, Any]) -> dict[str, Any]:
    """The same tokenizer for text that is not at the start: sentencepiece adds its space only there."""
    text = json.dumps(spec["pre_tokenizer"])
    if '"prepend_scheme": "first"' not in text:
        return spec
    return {
        **spec,
        "pre_tokenizer": json.loads(text.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"')),
    }


WORDS = r"\p{Han}|[\p{Latin}\p{M}']+ ?|\p{L}|\p{N}{1,3} ?|[^\s\p{L}\p{M}\p{N}]+ ?|\s+"
"""How a tokenizer of ours cuts text: a word with the space *after* it, a Chinese character by itself.

The usual cut puts the space before a word, and so "Paris" at the start of an answer is another token
than " Paris" in a sentence; a small model has to learn each fact twice. At the end of a sentence and at
the end of an answer a word has no space after it, so here the two are the same.
"""


def train_bpe(
    texts: Iterable[str], vocab_size: int, specials: Sequence[str] = ("<|end|>",), eos: str = "<|end|>"
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: any text can be written with it, in any language."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    make = cast(Any, PreTrainedTokenizerFast)
    return cast(
        PreTrainedTokenizerFast,
        make(tokenizer_object=backend, eos_token=eos, clean_up_tokenization_spaces=False),
    )
