"""Every model and tokenizer comes through one door, which runs no code of theirs; what is private has one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from tests.models.test_packed import make
from tunesmith.models.hf import loading
from tunesmith.models.hf.changed import Changed
from tunesmith.models.load import load_model, save_model

SRC = Path(__file__).parents[3] / "src" / "tunesmith"
DOOR = "models/hf/loading.py"
OPENS = re.compile(r"\bAuto[A-Z]\w+\b|\.from_pretrained\(|trust_remote_code\s*=|torch\.load\(")
PRIVATE = re.compile(
    r"_attn_implementation|_no_split_modules|_is_stateful|past_key_values|cache_params|reorder_cache|\.layers\[|"
    r"modeling_utils|pytorch_utils|modeling_outputs|cache_utils|transformers\.models|inspect\.signature|torch\._(?!_version)"
)


def found(pattern: re.Pattern[str], besides: tuple[str, ...]) -> list[str]:
    """Every line of code that fits, as ``file:line``. Prose does not count."""
    lines = []
    for file in sorted(SRC.rglob("*.py")):
        name = str(file.relative_to(SRC))
        if not name.startswith(besides):
            code = re.sub(r'""".*?"""', lambda m: "\n" * m[0].count("\n"), file.read_text("utf-8"), flags=re.DOTALL)
            each = enumerate(code.splitlines(), 1)
            lines += [f"{name}:{i}: {line.strip()}" for i, line in each if pattern.search(line.partition("# ")[0])]
    return lines


def test_nothing_is_opened_elsewhere() -> None:
    wrong = found(OPENS, (DOOR,))
    assert wrong == [], "use load_model, load_config and load_tokenizer: a call of one's own may run foreign code"
    assert found(OPENS, ()), "the test must see the door"


def test_what_is_private_has_one_place() -> None:
    wrong = found(PRIVATE, ("models/hf/",))
    assert wrong == [], "move it to models/hf, tried and with a test: a release of transformers or torch may change it"


def test_no_call_can_run_code_of_a_model() -> None:
    calls = re.findall(r"\.from_pretrained\((?:[^()]|\([^()]*\))*\)", (SRC / DOOR).read_text("utf-8"))
    assert len(calls) == 3 and all("**_LOCAL" in call for call in calls)
    assert loading._LOCAL["trust_remote_code"] is False


def test_a_release_that_no_longer_reports_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_model(make(), tmp_path / "model")
    plain = AutoModelForCausalLM.from_pretrained

    def silent(*given: object, **named: object) -> object:
        return plain(*given, **named)[0], {"missing": set()}

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", silent)
    with pytest.raises(Changed, match=r"output_loading_info.*tunesmith doctor"):
        load_model(folder)
