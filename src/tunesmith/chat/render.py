"""One conversation through one chat template, with every character's supplier known.

Variables, filters and aliases are those that ``transformers`` gives to templates, so that a rendering
is the same text, character by character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from tunesmith.chat.trace import Trace, Traced, TracingEnvironment, concat, plain
from tunesmith.errors import ChatError, TemplateRefused

_ENVIRONMENT = TracingEnvironment()

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names that reasoning goes by; transformers gives a template the first two, whichever came in."""


class ChatTemplate:
    """A compiled chat template and the variables that do not change between conversations."""

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        self.source = source
        self.variables = dict(variables)
        try:
            self._compiled = _ENVIRONMENT.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateRefused(f"The chat template does not compile: line {error.lineno}: {error.message}") from None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        prompt: bool = False,
        trace: Trace | None = None,
        **variables: Any,
    ) -> Traced:
        """The rendering; with ``prompt`` it ends where the model is to go on. ``trace`` gathers its questions."""
        trace = trace or Trace()
        wrapped = [_wrap(message, i, trace) for i, message in enumerate(messages)]
        traced_tools = trace.wrap(list(tools), ("tools",)) if tools else None
        context = {
            **self.variables,
            **variables,
            "messages": wrapped,
            "tools": traced_tools,
            "documents": None,
            "add_generation_prompt": prompt,
        }
        try:
            pieces = list(self._compiled.root_render_func(self._compiled.new_context(context)))
        except jinja2.TemplateError as error:
            raise ChatError(f"The chat template rejects this conversation: {plain(str(error))}") from None
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise ChatError(
                f"The chat template cannot render this conversation ({type(error).__name__}: {error}). "
                "Check that each message has the fields, and the field types, that the template expects."
            ) from None
        return concat(pieces, trace)


def _wrap(message: Mapping[str, Any], i: int, trace: Trace) -> dict[str, Any]:
    """The role is checked and so the template's own; all other values are the user's."""
    out: dict[str, Any] = {}
    for key, value in message.items():
        if key == "learn":
            continue
        out[key] = str(value) if key == "role" else trace.wrap(value, (i, key))
    reasoning = next((out[name] for name in _REASONING if out.get(name) is not None), None)
    if reasoning is not None:
        out.setdefault("thinking", reasoning)
        out["reasoning_content"] = reasoning
    return out
