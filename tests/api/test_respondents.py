"""Which key goes to which server, and what is said of it."""

from __future__ import annotations

import pytest

from tests.hostile import answer, hostile
from tunesmith.api.respondents import _key_for, name_of, opened
from tunesmith.ask.place import Place
from tunesmith.core.errors import EvalError


def test_each_server_may_have_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs-1234")
    monkeypatch.setenv("MINE", "sk-mine-5678\n")
    with hostile(lambda request: answer()) as (url, log):
        opened(f"{url}#tiny")
        opened(f"{url}#tiny#key=MINE")
        with pytest.raises(EvalError, match="the environment has no MIEN, which #key= names"):
            opened(f"{url}#tiny#key=MIEN")
    assert [r.headers["authorization"] for r in log.requests] == ["Bearer sk-theirs-1234", "Bearer sk-mine-5678"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://localhost:8000/v1", False), ("http://127.0.0.1/v1", False), ("http://192.168.1.7/v1", False),
     ("http://gpu7:8000/v1", False), ("http://[::1]:8000/v1", False), ("https://api.example.com/v1", False),
     ("http://api.example.com/v1", True), ("http://8.8.8.8/v1", True)],
)  # fmt: skip
def test_a_key_that_goes_far_unencrypted_is_told(url: str, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-theirs-1234")
    key, note = _key_for(Place.of(url))
    assert key == "sk-theirs-1234" and ("unencrypted" in note) == told and "1234" not in note
    monkeypatch.delenv("OPENAI_API_KEY")
    assert _key_for(Place.of(url)) == ("", "")


def test_names() -> None:
    assert name_of("http://h:8000/v1") == "h:8000" and name_of("http://h/v1#org/model#key=K") == "model"
    assert name_of("a=http://h/v1#model") == "a" and "pw" not in name_of("http://me:pw@h/v1")
