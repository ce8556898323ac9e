"""What a chat format does when it is loaded: compare itself with ``transformers``.

A few conversations, with a system message, thoughts, tools, calls and several turns, are rendered and encoded both
ways. What the template rejects in ``transformers`` is left out; where the two differ the format is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tunesmith.chat.trace import plain
from tunesmith.core.errors import ChatError, TemplateRefused


class Renders(Protocol):
    """What the check needs of a chat format."""

    @property
    def tok(self) -> Any: ...

    @property
    def template(self) -> Any: ...

    @property
    def variables(self) -> Mapping[str, Any]: ...

    @property
    def parts_only(self) -> bool: ...

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ...) -> Any: ...


class Probe(NamedTuple):
    """One conversation that is rendered both ways."""

    messages: list[dict[str, Any]]
    tools: tuple[dict[str, Any], ...] = ()
    prompt: bool = True
    """Whether an answer is to follow; only then are the ids compared too, since a last answer may get a stop token."""


_ASK = {"role": "user", "content": "What is 2 + 2?\n\n  Say it  twice. 好吗？"}
_ANSWER = {"role": "assistant", "content": "Four. Four!\nÉmile said 四。"}
_SYSTEM = {"role": "system", "content": "Be brief."}
_THOUGHT = {**_ANSWER, "reasoning_content": "Two and two.\nFour."}
_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds 'a' and \"b\" & gives the sum.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "integer", "description": "One number"},
                "b": {"type": ["number", "null"], "enum": [1, 2]},
            },
            "required": ["a"],
        },
    },
}
_RESULT = {"role": "tool", "content": "4", "tool_call_id": "abcdefghi", "name": "add"}


def _calls(arguments: Any, content: str) -> dict[str, Any]:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "add", "arguments": arguments}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


def probes() -> Iterator[Probe]:
    """The conversations."""
    yield Probe([_ASK])
    yield Probe([_ASK, _ANSWER, _ASK])
    yield Probe([_SYSTEM, _ASK])
    yield Probe([_SYSTEM, _ASK, _ANSWER, _ASK, _ANSWER], prompt=False)
    yield Probe([_ASK, _THOUGHT, _ASK])
    yield Probe([_SYSTEM, _ASK, _THOUGHT], prompt=False)
    yield Probe([_SYSTEM, _ASK], (_TOOL,))
    for arguments in ({"a": 2, "b": None}, '{"a": 2}'):
        for content in ("", "Let me add."):
            talk = [_SYSTEM, _ASK, _calls(arguments, content), _RESULT]
            yield Probe(talk, (_TOOL,))
            yield Probe([*talk, _THOUGHT, _ASK, _ANSWER], (_TOOL,), prompt=False)


def check(fmt: Renders) -> None:
    """Refuse a format that gives other texts or ids than ``transformers`` gives for the same template."""
    for probe in probes():
        messages = as_parts(probe.messages) if fmt.parts_only else probe.messages
        # Ours comes first: it has limits, and what has passed them can be given to a renderer that has none.
        try:
            text = plain(fmt.template.render(messages, probe.tools, prompt=probe.prompt))
        except TemplateRefused:
            raise
        except ChatError as error:
            text = str(error)
        try:
            want = _reference(fmt, messages, probe, tokenize=False)
        except Exception:  # not every template takes every message, and each fails in its own way
            continue
        _compare(fmt, probe, text, want)
        if not probe.prompt:
            continue
        try:
            got = fmt.prompt(messages, probe.tools).tolist()
        except ChatError:
            if probe.tools:  # its rows will be refused, one by one, with this reason
                continue
            raise
        _compare(fmt, probe, got, list(_reference(fmt, messages, probe, tokenize=True)))


def as_parts(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with a list of one text as their content."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


def _reference(fmt: Renders, messages: list[dict[str, Any]], probe: Probe, *, tokenize: bool) -> Any:
    return fmt.tok.apply_chat_template(
        messages,
        tools=list(probe.tools) or None,
        chat_template=fmt.template.source,
        tokenize=tokenize,
        add_generation_prompt=probe.prompt,
        return_dict=False,
        **fmt.variables,
    )


def _compare(fmt: Renders, probe: Probe, got: Any, want: Any) -> None:
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
    roles = " ".join(m["role"] for m in probe.messages)
    what, width = ("character", 40) if isinstance(got, str) else ("id", 3)
    raise TemplateRefused(
        f"This tokenizer and template cannot be handled exactly. For the messages {roles}"
        f"{' with a tool' if probe.tools else ''}, {what} {at} on is {got[at : at + width]!r} here and "
        f"{want[at : at + width]!r} in transformers."
    )
