"""What a build says of itself: manifest, row by row, and the card."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.browser import BROWSER, Browser
from tunesmith.core.errors import DataError
from tunesmith.data import HeldOut, Task, build_to, load_tasks
from tunesmith.data.builds import manifest
from tunesmith.data.builds.datacard import html, markdown, measure, verb_noun, wheel, write
from tunesmith.data.builds.explain import explain
from tunesmith.data.clean import Cleaning

WISH = HeldOut(clusters=("animals",), instance_fraction=0.1, wordings={"capital.en": ("choose",)})


@pytest.fixture
def out(world: list[Task], tmp_path: Path) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Write a poem about river {i}."},
                {"role": "assistant", "content": "x y"},
            ]
        }
        for i in range(40)
    ]
    rows.append(
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "As an AI, I wave."}]}
    )
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [{"prompt": f"Ask {i}?", "chosen": "yes", "rejected": "no"} for i in range(30)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    tasks = load_tasks([tmp_path, tmp_path / "chats.jsonl", tmp_path / "pairs.json"])
    cleaning = Cleaning.model_validate({"boilerplate": True, "quality": True})
    build_to(tmp_path / "out", tasks, WISH, seed=1, cleaning=cleaning)
    return tmp_path / "out"


def test_every_row_can_be_explained(out: Path) -> None:
    """Every row of every file, by its id: where it stands is where it was found."""
    import pyarrow.parquet as pq

    places = {
        "train.instruction/00000": "trained on",
        "held_out.instruction.0": "held out: ",
        "unused.instruction": "not used: ",
    }
    places |= {"compared.train": "trained on", "compared.held_out": "held out: of a held-out group"}
    seen = 0
    for name, place in places.items():
        for row in pq.read_table(out / f"{name}.parquet").to_pylist():
            if row.get("level") == "seen":
                continue
            (found,) = explain(out, row["id"])
            assert found.row.id == row["id"] and found.place.startswith(place)
            assert str(found.row.source) == row["source"] and found.reader
            seen += 1
    assert seen > 80


def test_an_explanation_says_all(out: Path) -> None:
    (found,) = explain(out, "chats.jsonl:41")
    assert found.place == "not used: boilerplate: the answer speaks of the model: as an ai, i"
    assert '"As an AI, I wave."' in found.line and found.reader == "messages"
    wordings = explain(out, "capital.en/france")
    assert len(wordings) > 2
    one = next(w for w in wordings if w.place == "trained on")
    assert one.template and one.template_source.endswith("capital.en.yaml:" + one.template_source.rpartition(":")[2])
    text = one.text()
    for part in (
        "row        capital.en/france@",
        "cluster geography",
        "cleaned by unicode, empty",
        "in words\n  user: ",
    ):
        assert part in text
    with pytest.raises(DataError, match=r"No row of .* is called 'nobody'"):
        explain(out, "nobody")
    with pytest.raises(DataError, match="holds no build"):
        explain(out.parent, "nobody")


def test_the_manifest_tells_what_changed(out: Path) -> None:
    about = manifest.load(out)
    assert about["seed"] == 1 and about["held_out"]["clusters"] == ["animals"] and about["cleaning"]["quality"]["on"]
    assert about["tasks"]["capital.en"]["templates"]["capital.en/choose"]["messages"]
    assert {Path(name).name for name in about["sources"]} >= {"chats.jsonl", "pairs.json", "capital.en.yaml"}
    assert set(about["written"]) == {
        str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and not p.name.startswith("manifest.")
    }
    assert manifest.changed(out) == []
    source = out.parent / "chats.jsonl"
    source.write_text(source.read_text().replace("river 3", "river 4", 1))  # as long as before
    (out / "unused.instruction.parquet").unlink()
    assert [p.rpartition("/")[2] for p in manifest.changed(out)] == [
        "chats.jsonl: has changed since the build",
        "unused.instruction.parquet: is gone",
    ]


def test_the_card_counts_what_is_there(out: Path) -> None:
    import pyarrow.parquet as pq

    card = measure(out)
    rows = pq.read_table(out / "train.instruction/00000.parquet").num_rows
    assert card.rows == rows == card.tags["quality"] and card.compared == 28
    assert rows + 28 == card.total == card.looked_at == sum(card.tasks.values()) == sum(card.clusters.values())
    assert sum(card.prompts.values()) == sum(card.answers.values()) == card.total
    assert card.wheel["write"].most_common(1)[0][0] == "poem"
    assert ("rows in words", "boilerplate: the answer speaks of the model", 1) in card.reasons
    text, page = markdown(card), html(card)
    for part in ("# Data card: ", "| geography |", "| write | poem", "clusters: animals", "boilerplate"):
        assert part in text
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "") and "poem" in wheel(card)
    assert write(out).read_text() == page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write a short story about a dog.", ("write", "story")),
        ("Given the following sentence, rewrite it as a question.", ("rewrite", "it")),
        ("Can you generate a list of ten items?", ("generate", "list")),
        ("What is the capital of France?", None),
        ("Explain", None),
        ("The use of the word is odd. Describe the main idea.", ("describe", "idea")),
    ],
)
def test_verbs_and_nouns(text: str, expected: tuple[str, str] | None) -> None:
    assert verb_noun(text) == expected


def test_a_second_build_in_the_folder_leaves_nothing_of_the_first(out: Path, world: list[Task]) -> None:
    """The first had comparisons and a card; the second has neither, and its manifest is of what it wrote."""
    write(out)
    build_to(out, world, WISH, seed=1)
    assert manifest.changed(out) == []
    assert not list(out.glob("compared.*")) and not list(out.glob("card.*"))
    write(out)
    assert manifest.changed(out) == []


def test_the_card_in_another_language(out: Path) -> None:
    page = write(out, language="zh").read_text(encoding="utf-8")
    assert '<html lang="zh">' in page and "留出的数据" in page and "Held out" not in page
    assert "# 数据卡" in (out / "card.instruction.md").read_text(encoding="utf-8")
    page = re.sub("未使用：[^<]*", "", page)  # a reason is data
    text = re.sub(r"<article>.*?</article>|<style>.*?</style>|<[^>]+>|\S*_\S*", " ", page, flags=re.S)
    assert re.findall(r"\b(?:rows|the|of|and|held out|tasks?|not used)\b", text.replace("held-out", "")) == []


def test_tables_of_the_card_have_captions_and_scopes(out: Path) -> None:
    page = write(out, language="en").read_text(encoding="utf-8")
    tables = re.findall(r"<table.*?</table>", page, re.S)
    assert len(tables) >= 6
    for table in tables:
        assert re.search(r"<caption[^>]*>\S", table) and not re.search(r"<th(?!ead| scope)", table)


@pytest.mark.skipif(not BROWSER, reason="no browser on this machine")
@pytest.mark.parametrize("width", [1400, 390])
def test_the_card_has_no_faults_in_a_browser(out: Path, tmp_path: Path, width: int) -> None:
    with Browser(tmp_path / "b", width=width, dark=width == 390) as browser:
        for language in ("en", "zh"):
            browser.open(write(out, language=language))
            browser.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
            assert browser.faults() == []
