"""The mixture of a tuning stage: what it says before it begins, and what another one costs."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tunesmith.chat import ChatFormat
from tunesmith.core.errors import DataError, RecipeError
from tunesmith.core.types import Conversation, Message
from tunesmith.models.load import load_model, save_model
from tunesmith.pipeline import recipe
from tunesmith.pipeline import run as runner
from tunesmith.stages.sft import Mixture
from tunesmith.stages.stage import Job
from tunesmith.stages.training import conversation_stores

RECIPE = """\
name: small
stages:
  build: {{kind: build, tasks: [{tasks}], text: [{place}/text.txt], held_out: {place}/held_out.yaml}}
  tokenizer: {{kind: tokenizer, data: build, vocab_size: 300}}
  pretrain:
    kind: pretrain
    data: build
    tokenizer: tokenizer
    model: {{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
            num_key_value_heads: 2, max_position_embeddings: 256}}
    train: {{steps: 2, batch_tokens: 128, row_length: 128}}
  tune: {{kind: sft, model: pretrain, data: build, mixture: {mixture},
         train: {{steps: 3, batch_tokens: 256, row_length: 256}}}}
result: tune
"""


def go(place: Path, tasks: Path, mixture: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    loaded = recipe.parse(RECIPE.format(tasks=tasks, place=place, mixture=mixture))
    runner.run(loaded, folder=place / "run", console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_another_mixture_encodes_nothing(tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = go(tmp_path, tasks, "{rates: proportional}")
    table = (tmp_path / "run/tune/mixture.txt").read_text()
    assert re.search(r"sound.en: \d+ rows, 100.0% of the draws \(\d+\); it is seen \d+\.\d times.", table)
    assert table.splitlines()[0] in said
    stores = sorted((tmp_path / "run/.tokens").iterdir())

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("rows are encoded again")

    with monkeypatch.context() as patch:
        patch.setattr(ChatFormat, "encode_many", refuse)
        said = go(tmp_path, tasks, "{rates: temperature, unit: tokens}")
        assert "0 rows encoded, the others were before" in said
        with pytest.raises(AssertionError, match="encoded again"):
            go(tmp_path, tasks, "{rates: proportional, most: 2}")
    go(tmp_path, tasks, "{rates: proportional, most: 2}")
    assert "sound.en: 2 rows" in (tmp_path / "run/tune/mixture.txt").read_text()
    assert not set(stores) & set((tmp_path / "run/.tokens").iterdir())  # what no stage uses is gone
    used = json.loads((tmp_path / "run/tune/tokens.json").read_text())
    assert all((tmp_path / "run/.tokens" / name / "store.json").is_file() for name in used)


def test_other_words_under_the_same_id_are_encoded(tmp_path: Path, tok: PreTrainedTokenizerFast) -> None:
    job = Job("tune", tmp_path / "tune", 0, console=Console(file=io.StringIO()))
    job.out.mkdir()
    fmt = ChatFormat.named("chatml", tok)

    def ids(said: str, row_length: int = 64) -> list[int]:
        row = Conversation((Message("user", "Hi"), Message("assistant", said)), "a@b", "a")
        stores, _ = conversation_stores(job, fmt, [row], row_length)
        return stores["a"].ids.tolist()

    assert ids("moo") == ids("moo") != ids("baa")
    first = json.loads((job.out / "tokens.json").read_text())
    ids("baa", row_length=65)
    assert json.loads((job.out / "tokens.json").read_text()) != first


def test_shares_of_tokens() -> None:
    """Twice the length is half the draws."""
    means = {"a": 10.0, "b": 20.0}
    assert Mixture(unit="tokens").documents({"a": 0.5, "b": 0.5}, means) == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    assert Mixture().documents({"a": 0.5, "b": 0.5}, means) == {"a": 0.5, "b": 0.5}


def test_most_takes_the_same_rows_whatever_else_there_is() -> None:
    rows = [Conversation((), f"{task}/{i}", task) for task in ("a", "b") for i in range(50)]
    few = Mixture(most=10).used(rows)
    assert [sum(row.task == task for row in few) for task in ("a", "b")] == [10, 10]
    assert [row for row in few if row.task == "a"] == list(Mixture(most=10).used([r for r in rows if r.task == "a"]))
    assert set(Mixture(most=5).used(rows)) <= set(few)
    assert Mixture(most=None).used(rows) is rows


def test_flans_rule() -> None:
    """30,000 examples of a set at most, and no set counts for more than 3,000."""
    shares = Mixture(cap=3000, most=30_000).of({"small": 300, "large": 30_000, "huge": 30_000}, {})
    assert shares == pytest.approx({"small": 300 / 6300, "large": 3000 / 6300, "huge": 3000 / 6300})


BARE = """\
name: bare
stages:
  build: {{kind: build, tasks: [{tasks}], held_out: {place}/held_out.yaml}}
  tune: {{kind: sft, model: {base}, data: build, {chat} train: {{steps: 3, batch_tokens: 256, row_length: 256}}}}
  eval: {{kind: eval, data: build, base: {base}, tuned: tune, max_new_tokens: 12}}
result: tune
"""


def test_a_base_without_a_chat_template(tmp_path: Path, tasks: Path, tok: PreTrainedTokenizerFast) -> None:
    """As a base comes from the hub: it is given a format, the tokens of the format, and rows for them."""
    base = tmp_path / "base"
    config = AutoConfig.for_model(
        "llama", vocab_size=len(tok), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    save_model(load_model(config, seed=1), base)
    tok.save_pretrained(base)
    assert tok.chat_template is None

    def go(chat: str) -> None:
        text = BARE.format(tasks=tasks, place=tmp_path, base=base, chat=chat)
        runner.run(recipe.parse(text), folder=tmp_path / "run", console=Console(file=io.StringIO()))

    with pytest.raises(RecipeError, match="chat: chatml"):
        go("")
    go("chat: chatml,")
    tuned = tmp_path / "run/tune/model"
    model, words = AutoModelForCausalLM.from_pretrained(tuned), AutoTokenizer.from_pretrained(tuned)
    assert model.get_input_embeddings().num_embeddings == len(words) == len(tok) + 2 == model.config.vocab_size
    assert words.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False).startswith("<|im_start|>user")
    assert words.convert_tokens_to_ids("<|im_end|>") == model.generation_config.eos_token_id
    assert model.get_input_embeddings().weight[-2:].abs().sum() > 0


def test_every_row_that_is_left_out_stands_on_the_screen(tmp_path: Path, tok: PreTrainedTokenizerFast) -> None:
    console = Console(file=io.StringIO(), width=200)
    fmt = ChatFormat.named("chatml", tok)
    talks = [
        Conversation((Message("user", "hello " * n), Message("assistant", "yes")), id=f"r{n}", task="t.en")
        for n in (1, 2, 90, 120)
    ]
    out = tmp_path / "run" / "tune"
    out.mkdir(parents=True)
    _, aside = conversation_stores(Job(id="tune", out=out, seed=1, console=console), fmt, talks, 64)
    longest = len(fmt.encode(talks[-1]).ids)
    said = f"2 of 4 rows left out: longer than row_length = 64 tokens, the longest {longest}. Raise train.row_length"
    assert isinstance(console.file, io.StringIO)
    assert aside == 2 and said in console.file.getvalue()
    conversation_stores(Job(id="tune", out=out, seed=1, console=console), fmt, talks, 64)  # encoded before
    assert console.file.getvalue().count(said) == 2


def test_a_row_that_no_template_takes_is_no_long_row(tmp_path: Path, tok: PreTrainedTokenizerFast) -> None:
    """Its reason may speak of tokens as well."""
    tok.chat_template = (
        "{% for m in messages %}{% if 'x' in m.content %}{{ raise_exception('no tokens for x') }}{% endif %}"
        "{{ m.content + eos_token }}{% endfor %}"
    )
    out = tmp_path / "run" / "tune"
    out.mkdir(parents=True)
    talk = Conversation((Message("user", "x"), Message("assistant", "yes")), id="r", task="t.en")
    with pytest.raises(DataError, match="no tokens for x"):
        conversation_stores(
            Job(id="tune", out=out, seed=1, console=Console(file=io.StringIO())),
            ChatFormat.from_tokenizer(tok),
            [talk],
            64,
        )
