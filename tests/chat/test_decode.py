"""Streamed text is the text of the whole, for tokenizers of all kinds."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.conftest import CORPUS
from tunesmith.chat import ChatFormat, train_bpe
from tunesmith.chat.decode import Decoder

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXTS = [
    "你好，世界！法国的首都是巴黎。",
    "smile 😀👩‍👩‍👧‍👦 done 🇫🇷🇨🇳 é e\u0301 ﷽ 𝔘𝔫𝔦",
    "I do n't know , she 's here . It ' s we 've ! ? they 're",
    "   spaces   and\n\n\ttabs \n end ",
    "def f(x):\n    return x + 1\n\n```python\nprint('\U0001f600')\n```",
    "\ufffd\ufffd real \ufffd",
]


def byte_level(tidied: bool = False) -> PreTrainedTokenizerFast:
    tok = train_bpe(CORPUS, vocab_size=400)
    tok.clean_up_tokenization_spaces = tidied
    return tok


def sentencepiece() -> PreTrainedTokenizerFast:
    """As Llama 2: Metaspace, and bytes for what is not in the vocabulary."""
    tok = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    kinds = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tok.decoder = decoders.Sequence(kinds)
    english = [text for text in CORPUS if text.isascii()]
    tok.train_from_iterator(english, trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *BYTES]))
    return whole(tok)


def unigram() -> PreTrainedTokenizerFast:
    """As T5."""
    tok = Tokenizer(models.Unigram())
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tok.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>")
    )
    return whole(tok)


def wordpiece() -> PreTrainedTokenizerFast:
    """As BERT."""
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece(cleanup=True)
    tok.train_from_iterator(CORPUS + TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"]))
    return whole(tok, tidied=True)


def whole(tok: Tokenizer, tidied: bool = False) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tok, eos_token="<|end|>", clean_up_tokenization_spaces=tidied, additional_special_tokens=[]
    )


KINDS = {
    "byte_level": byte_level,
    "byte_level_tidied": lambda: byte_level(True),
    "sentencepiece": sentencepiece,
    "unigram": unigram,
    "wordpiece": wordpiece,
}


class Plainly:
    """As much of a format as decoding needs."""

    def __init__(self, tok: PreTrainedTokenizerFast) -> None:
        self.tok = tok
        self.read = 0
        """Tokens that were decoded, all calls together."""

    def decode(self, ids: Sequence[int]) -> str:
        self.read += len(ids)
        return str(self.tok.decode(list(ids), skip_special_tokens=False))


def check(fmt: Plainly, ids: Sequence[int]) -> None:
    want = fmt.decode(ids)
    decoder, got = Decoder.of(fmt), ""  # type: ignore[arg-type]
    for id in ids:
        got += decoder.add(id)
        assert want.startswith(got), "nothing is taken back"
    assert got + decoder.rest() == want


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_are_the_whole(kind: str) -> None:
    fmt = Plainly(KINDS[kind]())
    for text in [*TEXTS, *CORPUS[:4], " ".join(TEXTS) * 5]:
        check(fmt, fmt.tok.encode(text, add_special_tokens=False))


def fuzz(kind: str, rounds: int, seed: int) -> None:
    """Any ids at all: halves of characters, bytes that are none, marks after spaces."""
    fmt, draw = Plainly(KINDS[kind]()), random.Random(seed)
    for _ in range(rounds):
        few = draw.sample(range(len(fmt.tok)), draw.randint(2, len(fmt.tok)))
        check(fmt, draw.choices(few, k=draw.randint(1, 120)))


@pytest.mark.parametrize("kind", KINDS)
def test_any_ids(kind: str) -> None:
    fuzz(kind, 60, 1)


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_very_many_ids(kind: str) -> None:
    fuzz(kind, 5000, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_time_grows_with_the_length_alone(kind: str) -> None:
    fmt = Plainly(KINDS[kind]())
    all_ = fmt.tok.encode("".join(TEXTS), add_special_tokens=False)
    one_kind = [fmt.tok.convert_tokens_to_ids("<0xE4>")] if "sentence" in kind else all_[:1]
    for ids in (all_, one_kind):
        decoder, many = Decoder.of(fmt), 3000  # type: ignore[arg-type]
        fmt.read = 0
        for n in range(many):
            decoder.add(ids[n % len(ids)])
        decoder.rest()
        assert fmt.read < 40 * many


def test_characters_come_as_soon_as_they_are_whole() -> None:
    fmt = Plainly(train_bpe(["abc"], vocab_size=257))
    parts, decoder = [], Decoder.of(fmt)  # type: ignore[arg-type]
    for id in fmt.tok.encode("a你😀b", add_special_tokens=False):
        parts.append(decoder.add(id))
    assert parts == ["a", "", "", "你", "", "", "", "😀", "b"] and decoder.rest() == ""


def test_control_tokens_of_a_format_are_left_out(tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    ids = [*fmt.text_ids("你好 world").tolist(), *sorted(fmt.stop_ids), *fmt.text_ids("!").tolist()]
    decoder = Decoder.of(fmt)
    assert "".join(map(decoder.add, ids)) + decoder.rest() == fmt.decode(ids) == "你好 world!"
