"""A suite asks the same questions of every model, shows what is never asked, and says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from tests.models.test_generate import sharp
from tunesmith.ask.respondent import Local
from tunesmith.chat import ChatFormat
from tunesmith.cli import app
from tunesmith.core.errors import EvalError, RecipeError, TunesmithError
from tunesmith.evals.asking.ask import ask_passages
from tunesmith.evals.asking.suite import Suite
from tunesmith.evals.records import rate, read_records
from tunesmith.models.load import load_model

TASK = """\
task: capital
cluster: geography
language: en
name: capitals
reader: table
path: capital.jsonl
id: id
group: group
input: [place]
answer: city
options: 3
templates:
  - {id: what, instruction: "What is the capital of {{ place }}?", target: "{{ city }}"}
  - {id: say, instruction: "Say the capital of {{ place }}.", target: "{{ city }}"}
  - {id: whose, kind: inverted, instruction: "{{ city }} is the capital of which country?", target: "{{ place }}"}
"""
SUITE = "suite: places\ntasks: [capital.en.yaml]\nrows: 6\nshots: [0, 2]\nmax_new_tokens: 40\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": f"p{i}", "place": f"Place {i}", "city": f"City {i % 7}", "group": f"g{i // 2}"} for i in range(20)]
    (tmp_path / "capital.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "capital.en.yaml").write_text(TASK)
    (tmp_path / "suite.yaml").write_text(SUITE)
    return tmp_path


def suite(folder: Path, more: str = "", text: str = SUITE) -> Suite:
    (folder / "suite.yaml").write_text(text + more)
    return Suite.load(folder / "suite.yaml")


def test_the_same_questions_with_and_without_examples(folder: Path) -> None:
    asked = suite(folder).questions().questions
    assert {shots: len(rows) for shots, rows in asked.items()} == {0: 12, 2: 12}
    assert [r.id for r in asked[0]] == [r.id for r in asked[2]] and len({r.id for r in asked[0]}) == 12
    assert {r.template for r in asked[0]} == {"capital.en/what", "capital.en/say"}, (
        "the inverted one asks something else"
    )
    assert suite(folder).questions().questions == asked
    others = suite(folder, "seed: 1\n").questions().questions
    assert {r.id for r in others[0]} != {r.id for r in asked[0]}


def test_what_is_shown_is_never_asked_nor_of_its_group(folder: Path) -> None:
    asked = suite(folder, "examples: own\n").questions().questions[2]
    questions = {r.prompt[-1].content for r in asked}
    shown = [tuple(m.content for m in r.prompt[:-1]) for r in asked]
    assert all(len(turns) == 4 for turns in shown) and len(set(shown)) > 4
    for row, turns in zip(asked, shown, strict=True):
        assert not questions & set(turns)
        own = int(row.id.split("@")[0].split("/p")[1]) // 2
        places = [int(word.strip("?.")) for turn in turns[::2] for word in turn.split() if word.strip("?.").isdigit()]
        assert len(places) == 2 and own not in {place // 2 for place in places}
    same = suite(folder, "examples: same\n").questions().questions[2]
    by_wording = {r.template: tuple(m.content for m in r.prompt[:-1]) for r in same}
    assert {tuple(m.content for m in r.prompt[:-1]) for r in same} == set(by_wording.values())


def test_fewer_wordings_are_drawn(folder: Path) -> None:
    assert len({r.template for r in suite(folder, "wordings: 1\n").questions().questions[0]}) == 1


def test_rows_in_words_are_asked_as_they_are(folder: Path) -> None:
    (folder / "chats.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": f"A{i}"}]})
            + "\n"
            for i in range(9)
        )
    )
    text = "suite: chats\ntasks: [chats.jsonl]\nrows: 5\n"
    (rows,) = suite(folder, text=text).questions().questions.values()
    assert len(rows) == 5 and all(r.answers == (r.prompt[0].content.replace("Q", "A"),) for r in rows)
    asked = suite(folder, "shots: [0, 2]\n", text=text).questions().questions
    assert [row.id for row in asked[0]] == [row.id for row in asked[2]]
    shown = {m.content for row in asked[2] for m in row.messages[:-2]}
    assert all(
        len(row.messages) == 6 and row.messages[-2:] == plain.messages
        for row, plain in zip(asked[2], asked[0], strict=True)
    )
    assert not shown & {row.messages[0].content for row in asked[0]}, "what is shown is never asked"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("suite: x\ntasks: [a]\nshot: [0]\n", "suite.yaml:3: shot: unknown key; did you mean 'shots'?"),
        ("suite: x\n", "names neither `tasks` nor `text`"),
        ("suite: x\ntasks: [a]\nrows: 0\n", "suite.yaml:3: rows: found 0, wanted greater"),
        ("- a\n", "a suite is a mapping with the keys suite, tasks"),
        ("suite: [\n", "this is not YAML"),
        ("suite: x\ntasks: [capital.en.yaml]\nshots: [20]\n", "too few to show 20"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, text: str, said: str) -> None:
    with pytest.raises(TunesmithError) as error:
        suite(folder, text=text).questions()
    assert said in str(error.value)
    with pytest.raises(RecipeError, match="cannot be read"):
        Suite.load(folder / "none.yaml")


def test_models_are_asked_on_the_command_line(folder: Path, tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    for seed, name in enumerate(("one", "two")):
        shape = {
            "model_type": "llama", "vocab_size": len(fmt.tok), "hidden_size": 32, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 512,
        }  # fmt: skip
        load_model(shape, seed=seed).save_pretrained(folder / name)
        fmt.tok.save_pretrained(folder / name)
    models = [str(folder / "one"), str(folder / "two")]
    run = CliRunner().invoke(
        app, ["eval", "ask", str(folder / "suite.yaml"), *models, "--out", str(folder / "out")], catch_exceptions=False
    )
    assert run.exit_code == 0 and "capital.en" in run.output and "than one" in run.output
    records = read_records(folder / "out" / "answers.jsonl")
    # two models, two numbers of examples, two metrics, twelve questions
    assert len(records) == 2 * 2 * 2 * 12 and {r.level for r in records} == {"asked"}
    figures = json.loads((folder / "out" / "figures.json").read_text())
    assert figures["suite"]["suite"] == "places" and len(figures["figures"]) == 4
    for line in figures["figures"]:
        same = [r for r in records if all(getattr(r, k) == line[k] for k in ("task", "shots", "metric"))]
        for cell in line["cells"]:
            mine = [r.value for r in same if r.model == cell["model"]]
            assert cell["rate"]["value"] == pytest.approx(sum(mine) / 12) and cell["rate"]["groups"] <= 6
            assert (cell["difference"] is not None) == (cell["model"] == "two")
    for name in ("one", "two"):
        shaped = json.loads((folder / "out" / f"results_{name}.json").read_text())["results"]
        (zero,) = [line for line in figures["figures"] if (line["shots"], line["metric"]) == (0, "options")]
        rates = {cell["model"]: cell["rate"]["value"] for cell in zero["cells"]}
        assert shaped["capital.en_0shot"]["acc,none"] == pytest.approx(rates[name])
    traces = [json.loads(line) for line in (folder / "out" / "tokens.jsonl").read_text().splitlines()]
    assert len(traces) == 48 and "".join(traces[0]["prompt"]).startswith("<|im_start|>user\n")
    assert "its training rows are not known" in run.output
    both = folder / "both.html"
    run = CliRunner().invoke(app, ["eval", "page", str(folder / "out"), str(folder / "out"), "-o", str(both)])
    assert "one, two, one, out, two, out" in run.output and both.stat().st_size > 10_000
    again = CliRunner().invoke(app, ["eval", "ask", str(folder / "suite.yaml"), *models, "--out", str(folder / "out")])
    assert "one: 48 of 48 answers were known" in again.output
    assert read_records(folder / "out" / "answers.jsonl") == records
    out = str(folder / "out")
    run = CliRunner().invoke(app, ["eval", "diff", f"{out}#one", f"{out}#two"])
    assert run.exit_code == 0 and "asked" in run.output
    with pytest.raises(EvalError, match="the same name"):
        CliRunner().invoke(
            app, ["eval", "ask", str(folder / "suite.yaml"), models[0], models[0]], catch_exceptions=False
        )


def test_thoughts_are_asked_for_in_the_language_of_the_question(folder: Path) -> None:
    plain, thinking = suite(folder).questions(), suite(folder, "thoughts: asked\n")
    asked = thinking.questions()
    for row, before in zip(asked.questions[0], plain.questions[0], strict=True):
        assert (
            row.prompt[-1].content
            == before.prompt[-1].content + '\n\nLet\'s think step by step, and end with "The answer is".'
        )
        assert row.messages[-1] == before.messages[-1] and row.id == before.id
    assert thinking.how.thoughts and not thinking.how.rank
    assert suite(folder, "thoughts: shown\n").questions() == plain and suite(folder, "thoughts: shown\n").how.thoughts


def test_with_the_same_examples_no_question_is_of_their_groups(folder: Path) -> None:
    asked = suite(folder, "examples: same\nrows: 19\n", text=SUITE.replace("rows: 6\n", "")).questions().questions
    shown = {m.content for row in asked[2] for m in row.messages[:-2] if m.role == "user"}
    places = {text.removesuffix("?").removesuffix(".").split(" of ")[1] for text in shown}
    groups = {f"g{int(place.split()[1]) // 2}" for place in places}
    assert len(places) == 2 and groups and not groups & {row.group.rpartition("/")[2] for row in asked[0]}


def test_questions_in_several_turns_get_the_answers_of_the_model(folder: Path) -> None:
    (folder / "turns.jsonl").write_text(
        json.dumps({"question_id": 1, "turns": ["Name a river.", "Now another."]}) + "\n"
    )
    text = "suite: talk\ntasks: [turns.jsonl]\nturns: own\n"
    (rows,) = suite(folder, text=text).questions().questions.values()
    assert [m.content for m in rows[0].messages] == ["Name a river.", "Now another."] and rows[0].metric == "fresh"
    assert suite(folder, text=text).how.own


def test_how_well_text_is_predicted(folder: Path, tok: PreTrainedTokenizerFast) -> None:
    fmt = ChatFormat.named("chatml", tok)
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    more: dict[str, Any] = {
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "eos_token_id": fmt.tok.eos_token_id,
    }
    model = sharp(load_model({**shape, **more, "vocab_size": len(fmt.tok), "bos_token_id": None}))
    texts = [
        "The capital of France is Paris.",
        "法国的首都是巴黎。",
        "The quick brown fox jumps over the lazy dog. " * 4,
    ]
    (folder / "some.txt").write_text("\n".join([*texts, "", " "]))
    asked = suite(folder, text="suite: t\ntext: [some.txt]\n").questions()
    assert not asked.questions and [row.task for row in asked.passages] == ["some"] * 3
    found = {r.prompt: r for r in ask_passages(Local(model, fmt), asked.passages, name="m")}
    for text in texts:
        ids = np.concatenate(([fmt.tok.eos_token_id], fmt.text_ids(text)))
        bits = 0.0
        for at in range(1, len(ids), 16):  # the model reads 16 tokens at once; the last one need not be read
            piece = torch.tensor(ids[at - 1 : at + 16].astype(np.int64))[None]
            with torch.no_grad():
                logp = torch.log_softmax(model(piece[:, :-1]).logits[0], -1)
            bits -= float(logp[torch.arange(piece.shape[1] - 1), piece[0, 1:]].sum()) / np.log(2)
        assert found[text].value == pytest.approx(bits / len(text.encode()), rel=1e-5)
    got = rate(list(found.values()))
    assert got.low < got.value < got.high and got.value > 1, "no share from 0 to 1"
