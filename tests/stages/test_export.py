"""What is exported is the model: opened by plain transformers it says the same, and a damaged one is not kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from tunesmith.chat import ChatFormat, train_bpe
from tunesmith.chat.ollama import modelfile, regular_form
from tunesmith.cli import main
from tunesmith.core.errors import TemplateRefused, TrainError
from tunesmith.models import load
from tunesmith.models.load import load_model, save_model
from tunesmith.stages.export import export

LLAMA = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SMALL = {**LLAMA, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 400}
TEXTS = ["What is two and two? Four. Be brief. 你好", "Say it twice: hello hello"]


def a_model(folder: Path, chat: str = "chatml", dtype: torch.dtype = torch.float32, **changed: Any) -> Path:
    fmt = ChatFormat.named(chat, train_bpe(TEXTS, 300))
    fmt.tok.save_pretrained(folder / "tokenizer")
    model = load_model({**SMALL, **changed}, seed=1, dtype=dtype)
    return save_model(model, folder / "model", tokenizer_dir=folder / "tokenizer", stop_ids=sorted(fmt.stop_ids))


def go(template: str, turns: list[dict[str, str]]) -> str:
    """Run the little of Go's templates that our Modelfiles have."""
    body, opening = re.fullmatch(r"{{- range \.Messages }}(.*){{- end }}{{- end }}(.*)", template, re.DOTALL).groups()  # type: ignore[union-attr]
    branches = re.findall(r'{{- (?:else )?if eq \.Role "(\w+)" }}(.*?)(?={{- |$)', body, re.DOTALL)

    def text(part: str, content: str = "") -> str:
        actions = re.findall(r'{{ (?:"((?:[^"\\]|\\.)*)"|(\.Content)) }}', part)
        whole = [
            content if which else quoted.encode("raw_unicode_escape").decode("unicode_escape")
            for quoted, which in actions
        ]
        return "".join(whole)

    return "".join(text(dict(branches)[t["role"]], t["content"]) for t in turns) + text(opening)


@pytest.mark.parametrize("chat", ["chatml", "zephyr", "tulu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_says_the_same_elsewhere(chat: str, dtype: torch.dtype, tmp_path: Path) -> None:
    source = a_model(tmp_path, chat, dtype)
    notes = export(source, tmp_path / "out")
    assert notes == [f"opened with transformers {transformers.__version__}: 3 questions asked of both"]
    ours, theirs = (AutoModelForCausalLM.from_pretrained(f) for f in (source, tmp_path / "out"))
    ids = torch.arange(20)[None]
    assert theirs.dtype == dtype and torch.equal(ours(ids).logits, theirs(ids).logits)
    fmt = ChatFormat.from_tokenizer(AutoTokenizer.from_pretrained(tmp_path / "out"))
    written = (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")
    template = written.split('"""')[1]
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": 'Say "hello"\n'}]
    turns = [*turns, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "你好"}]
    assert go(template, turns) == fmt.tok.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    for stop in fmt.stop_ids:
        assert f'PARAMETER stop "{fmt.tok.decode([stop])}"' in written


def test_another_precision(tmp_path: Path) -> None:
    export(a_model(tmp_path), tmp_path / "out", "bf16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_a_template_that_ollama_cannot_say(tmp_path: Path) -> None:
    fmt = ChatFormat.named("pair", train_bpe(TEXTS, 300))
    assert modelfile(fmt).startswith("FROM .")
    turns = "{% for m in messages[-2:] %}<|end|>{{ m.role }}: {{ m.content }}<|end|>{% endfor %}"
    only_last = turns + "{% if add_generation_prompt %}<|end|>assistant: {% endif %}"
    with pytest.raises(TemplateRefused, match="cannot be written for Ollama"):
        regular_form(ChatFormat(fmt.tok, only_last))


def test_a_damaged_export_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_model(tmp_path, tie_word_embeddings=True)

    def damaged(model: Any, folder: Path, **more: Any) -> Path:
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight[3] *= 2
        written = save_model(model, folder, **more)
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight[3] /= 2
        return written

    monkeypatch.setattr(load, "save_model", damaged)
    with pytest.raises(TrainError, match="not the model: its logits differ"):
        export(source, tmp_path / "out")

    def unending(model: Any, folder: Path, **more: Any) -> Path:
        return save_model(model, folder, **{**more, "stop_ids": [5]})

    monkeypatch.setattr(load, "save_model", unending)
    with pytest.raises(TrainError, match="would stop at 5"):
        export(source, tmp_path / "out")

    def asked_otherwise(model: Any, folder: Path, **more: Any) -> Path:
        written = save_model(model, folder, **more)
        template = folder / "chat_template.jinja"
        template.write_text(template.read_text().replace("user", "User"))
        (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}")
        return written

    monkeypatch.setattr(load, "save_model", asked_otherwise)
    with pytest.raises(TrainError, match="its template gives other ids"):
        export(source, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "tokenizer"]


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = a_model(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(source), str(tmp_path / "out")])
    assert "same logits, same chat ids, same stop tokens" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["export", str(source), str(tmp_path / "out")])
    assert "there already and not empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", str(source), str(tmp_path / "other"), "--precision", "bf61"])
    assert "Did you mean 'bf16'" in capsys.readouterr().err
