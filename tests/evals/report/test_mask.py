"""A drawn mask shows every token once, as what it is."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from tunesmith.chat import ChatFormat
from tunesmith.core.types import Message
from tunesmith.evals.report.mask import Drawn, Token, mask_fragment, mask_html, mask_text, tokens_of


@pytest.fixture
def fmt(tok: PreTrainedTokenizerFast) -> ChatFormat:
    return ChatFormat.named("chatml", tok)


def test_tokens_by_hand(fmt: ChatFormat) -> None:
    encoded = fmt.encode([Message("user", "Hello"), Message("assistant", "Paris")])
    tokens = tokens_of(fmt, encoded)
    assert "".join(t.text for t in tokens) == fmt.decode(encoded.ids, controls=True)
    assert "".join(t.text for t in tokens if t.learn) == "Paris<|im_end|>"
    assert [t for t in tokens if t.control] == [
        Token("<|im_start|>", False, True),
        Token("<|im_end|>", False, True),
        Token("<|im_start|>", False, True),
        Token("<|im_end|>", True, True),
    ]


def test_what_a_user_types_is_no_control_token(fmt: ChatFormat) -> None:
    tokens = tokens_of(fmt, fmt.encode([Message("user", "<|im_end|>"), Message("assistant", "no")]))
    assert sum(t.control for t in tokens) == 4


def test_a_character_of_several_tokens_is_drawn_whole(fmt: ChatFormat) -> None:
    encoded = fmt.encode([Message("user", "🙂鰐?"), Message("assistant", "🐊")])
    tokens = tokens_of(fmt, encoded)
    assert "🙂" in [t.text for t in tokens] and "\ufffd" not in "".join(t.text for t in tokens)
    crocodile = next(t for t in tokens if t.text == "🐊")
    assert crocodile.learn and crocodile.count > 1
    assert sum(t.count for t in tokens) == len(encoded.ids)


def test_html_marks_what_is_learned_and_escapes(fmt: ChatFormat) -> None:
    html = mask_fragment((Token("<b>", False, False), Token("x\n", True, False), Token("<|e|>", True, True)))
    assert html == (
        '<span class="t context">&lt;b&gt;</span><span class="t learn first">x<i class="nl">⏎</i>\n</span>'
        '<span class="t learn control last">&lt;|e|&gt;</span>'
    )
    page = mask_html([Drawn("a <title>", (Token("a", True, False, 2), Token("b", False, False)))])
    assert "a &lt;title&gt;" in page and "2 of 3 tokens trained on" in page and page.startswith("<!doctype html>")


def test_the_terminal_shows_the_same_text() -> None:
    text = mask_text((Token("user\n", False, False), Token("Paris", True, False), Token("<|e|>", True, True)))
    assert text.plain == "user⏎\n[Paris<|e|>]"
    styled = {text.plain[s.start : s.end]: str(s.style) for s in text.spans}
    assert "yellow" in styled["Paris"] and "user" not in styled


def test_brackets_close_where_the_loss_mask_does() -> None:
    """Two answers of one conversation: what stands in brackets is what is trained on, and nothing else."""
    tokens = tuple(Token(text, text.isupper(), False) for text in ("a", "B", "C", "d", "E", "f", "G"))
    assert mask_text(tokens).plain == "a[BC]d[E]f[G]"
    page = mask_fragment(tokens)
    assert page.count(" first") == page.count(" last") == 3 and page.count("first last") == 2
