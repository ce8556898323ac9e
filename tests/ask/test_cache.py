"""Answers are found again, and never those of another model, prompt, setting or engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.models.test_generate import MODELS, STOPS, sharp, some_prompts
from tunesmith.ask import cache as caching
from tunesmith.ask.cache import Answers, Cache
from tunesmith.ask.respondent import Draw, Local
from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Message
from tunesmith.models import generate as generation
from tunesmith.models.load import load_model

PROMPTS = some_prompts(12)[:12]
OPTIONS = [[np.array([1, i], np.int32), np.array([2], np.int32)] for i in range(len(PROMPTS))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved(tmp_path / "model", 1)
    return tmp_path / "model"


def saved(folder: Path, seed: int) -> None:
    model = sharp(load_model(MODELS["llama"], seed=seed))
    with torch.no_grad():
        model.get_input_embeddings().weight[0, 0] += seed  # type: ignore[index, operator]
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")


def opened(folder: Path, file: str = "answers.sqlite") -> tuple[PreTrainedModel, Answers]:
    model = load_model(folder, attention="sdpa")
    model.train(False)
    return model, Cache(folder.parent / file).of(model, folder)


def ask(answers: Answers, most: int = 5, alone: bool = False) -> tuple[object, object]:
    said = answers.generate(PROMPTS, stop_ids=STOPS, max_new_tokens=most, alone=alone)
    return said, [s.tolist() for s in answers.rank_options(PROMPTS, OPTIONS, alone=alone)]


def test_nothing_is_asked_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, answers = opened(folder)
    first = ask(answers)
    assert (answers.known, answers.asked) == (0, 2 * len(PROMPTS))
    assert first[0] == generation.generate(model, PROMPTS, stop_ids=STOPS, max_new_tokens=5)
    monkeypatch.setattr(generation, "generate", None)
    monkeypatch.setattr(generation, "rank_options", None)
    _, again = opened(folder)
    assert ask(again) == first and (again.known, again.asked) == (2 * len(PROMPTS), 0)


def test_only_what_is_new_is_asked(folder: Path) -> None:
    _, answers = opened(folder)
    answers.generate(PROMPTS[:5], stop_ids=STOPS, max_new_tokens=5)
    _, others = opened(folder)
    said = others.generate(PROMPTS, stop_ids=STOPS, max_new_tokens=5)
    assert (others.known, others.asked) == (5, len(PROMPTS) - 5)
    assert said == opened(folder, "none.sqlite")[1].generate(PROMPTS, stop_ids=STOPS, max_new_tokens=5)


@pytest.mark.parametrize(
    "what", ["weights", "tokenizer", "config", "type", "engine", "length", "stops", "alone", "prompt", "options"]
)
def test_whatever_decides_an_answer_is_part_of_it(what: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, answers = opened(folder)
    ask(answers)
    asked = answers.asked
    if what == "weights":
        saved(folder, 2)
    elif what == "tokenizer":
        (folder / "tokenizer.json").write_text('{"other": 1}')
    elif what == "config":
        text = (folder / "config.json").read_text()
        (folder / "config.json").write_text(text.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 0.1'))
        assert (folder / "config.json").read_text() != text
    elif what == "engine":
        monkeypatch.setattr(caching, "ENGINE", 2)
    model, others = opened(folder)
    if what == "type":
        others = Cache(folder.parent / "answers.sqlite").of(model.to(torch.bfloat16), folder)
    if what in ("weights", "tokenizer", "config", "type", "engine"):
        ask(others)
        assert (others.known, others.asked) == (0, asked)
    elif what in ("length", "stops"):
        others.generate(
            PROMPTS, stop_ids=STOPS - {55} if what == "stops" else STOPS, max_new_tokens=5 + (what == "length")
        )
        assert others.known == 0
    elif what == "alone":
        ask(others, alone=True)
        assert others.known == 0
    elif what == "prompt":
        others.generate([np.r_[p, 1] for p in PROMPTS], stop_ids=STOPS, max_new_tokens=5)
        assert others.known == 0
    else:
        # The same ids in a row, divided otherwise between prompt and options.
        others.rank_options(
            [p[:-1] for p in PROMPTS if len(p) > 1],
            [[np.r_[p[-1:], o[0]], o[1]] for p, o in zip(PROMPTS, OPTIONS, strict=True) if len(p) > 1],
        )
        assert others.known == 0


def test_a_file_that_is_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("not a database, but a text that is long enough to be looked at" * 9)
    with pytest.raises(EvalError, match="is not a file of answers"):
        Cache(tmp_path / "answers.sqlite")


def test_a_model_without_weights_has_no_name(folder: Path) -> None:
    model, _ = opened(folder)
    (folder / "model.safetensors").rename(folder / "elsewhere")
    with pytest.raises(EvalError, match="holds no weights"):
        Cache(folder.parent / "x.sqlite").of(model, folder)


def test_what_was_answered_before_a_crash_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, answers = opened(folder)
    real = generation.generate

    def dies(*args: Any, each: Any, **how: Any) -> Any:
        def some(number: int, found: generation.Generated) -> None:
            each(number, found)
            if len(told) == 5:
                raise KeyboardInterrupt
            told.append(number)

        told: list[int] = []
        return real(*args, each=some, **how)

    monkeypatch.setattr(generation, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        answers.generate(PROMPTS, stop_ids=STOPS, max_new_tokens=5)
    monkeypatch.setattr(generation, "generate", real)
    model, others = opened(folder)
    twice = [*PROMPTS, *PROMPTS]  # equal prompts are asked once, and all get their answer
    said = others.generate(twice, stop_ids=STOPS, max_new_tokens=5)
    assert (others.known, others.asked) == (12, 2 * (len(PROMPTS) - 6))
    assert said == real(model, twice, stop_ids=STOPS, max_new_tokens=5)


def test_what_is_kept_is_in_the_file_at_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite")
    cache.keep(b"a", 1)
    assert Cache(tmp_path / "answers.sqlite").get([b"a"]) == {b"a": 1}


def test_what_is_drawn_is_kept_sample_by_sample(folder: Path) -> None:
    fmt = Fixed()
    asked = [QUESTION] * 6

    def who(file: str) -> tuple[Local, Answers]:
        model, answers = opened(folder, file)
        return Local(model, fmt, known=answers), answers

    draw = Draw(1.0, seed=7)
    first, answers = who("a.sqlite")
    said = first.say(asked, limit=8, draw=draw)
    assert len({one.ids for one in said}) > 2 and answers.asked == 6
    again, answers = who("a.sqlite")
    more = again.say([OTHER, *asked, QUESTION], limit=8, draw=draw)
    assert more[1:7] == said and (answers.known, answers.asked) == (6, 2)
    without = Local(opened(folder)[0], fmt).say([OTHER, *asked, QUESTION], limit=8, draw=draw)
    assert without == more, "the n-th answer to a question is the same, whatever else is asked"
    assert first.say(asked, limit=8, draw=Draw(1.0, seed=8)) != said
    assert len(set(first.say(asked, limit=8))) == 1


def test_a_local_answer_ends_at_a_stop_text_and_tells_its_log_probabilities(folder: Path) -> None:
    model, answers = opened(folder)
    who = Local(model, Fixed(), known=answers)
    (whole,) = who.say([QUESTION], limit=8, draw=Draw(logprobs=True))
    assert len(whole.logprobs) == len(whole.ids) > 3 and max(whole.logprobs) < 0
    prompt = Fixed().prompt(QUESTION)
    each = [
        float(generation.rank_options(model, [np.r_[prompt, whole.ids[:n]]], [[[whole.ids[n]]]])[0][0])
        for n in range(len(whole.ids))
    ]
    assert whole.logprobs == pytest.approx(each, abs=1e-4)
    third = f" {whole.ids[2]} "
    (cut,) = who.say([QUESTION], limit=8, draw=Draw(stop=(third,)))
    assert cut.text == whole.text[: whole.text.index(third)] and cut.finished and len(cut.ids) < len(whole.ids)


@pytest.mark.parametrize("value", ["", "{", "7", "[1, 2]", '[["a"], true]', "null", '{"a": 1}'])
def test_a_damaged_answer_is_not_known(folder: Path, value: str) -> None:
    import sqlite3

    first = opened(folder)[1].generate(PROMPTS, stop_ids=STOPS, max_new_tokens=5)
    file = sqlite3.connect(folder.parent / "answers.sqlite")
    file.execute("UPDATE answers SET value = ? WHERE key = (SELECT min(key) FROM answers)", (value,))
    file.commit()
    file.close()
    _, answers = opened(folder)
    assert answers.generate(PROMPTS, stop_ids=STOPS, max_new_tokens=5) == first
    assert answers.known == len(PROMPTS) - 1


class Fixed:
    """A format that writes ids as numbers."""

    stop_ids = STOPS

    def prompt(self, messages: Conversation) -> Any:
        return np.array([len(messages.messages[0].content), 5, 9], np.int32)

    def decode(self, ids: Any) -> str:
        return " " + " ".join(map(str, ids)) + " "


QUESTION, OTHER = (Conversation((Message("user", text),), id=text) for text in ("one question", "another one"))
