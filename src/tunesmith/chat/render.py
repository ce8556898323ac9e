"""One conversation through one chat template, with every character's supplier known.

Variables, filters and aliases are those that ``transformers`` gives to templates, so that a rendering
is the same text, character by character. ``confirm`` renders a second time, with plain strings, and refuses a
conversation that comes out differently: whatever tracing does wrong, no model is trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2

from tunesmith.chat.environment import TracingEnvironment
from tunesmith.chat.trace import Path, Trace, Traced, concat, plain
from tunesmith.core.errors import ChatError, TemplateRefused
from tunesmith.core.jinja import why, within
from tunesmith.core.jinja_budget import LimitReached, limited

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
        first: int = 0,
        **variables: Any,
    ) -> Traced:
        """The rendering; with ``prompt`` it ends where the model is to go on. ``trace`` gathers its questions.

        ``first`` is the number in its conversation of the first of the messages.
        """
        trace = trace or Trace()
        return concat(self._pieces(messages, tools, prompt, variables, first, trace.once), trace)

    def confirm(
        self,
        text: Traced,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        prompt: bool = False,
        first: int = 0,
    ) -> None:
        """Refuse a rendering that is not what plain strings give."""
        for _ in range(2):  # a second try, because a template may write the time
            untraced = "".join(self._pieces(messages, tools, prompt, {}, first, lambda value, path: value))
            if plain(text) == untraced:
                return
            text = self.render(messages, tools, prompt=prompt, first=first)
        at = next((i for i, (a, b) in enumerate(zip(plain(text), untraced, strict=False)) if a != b), 0)
        raise TemplateRefused(
            f"The chat template renders this conversation as ...{untraced[max(0, at - 20) : at + 40]!r}, but as "
            f"...{plain(text)[max(0, at - 20) : at + 40]!r} where it is followed who wrote which character. It uses an "
            "operation that cannot be followed, so the conversation cannot be encoded exactly."
        )

    def _pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        prompt: bool,
        variables: Mapping[str, Any],
        first: int,
        wrap: Callable[[Any, Path], Any],
    ) -> list[str]:
        """What the template writes, piece by piece; ``wrap`` is done to every value that the user supplies."""
        try:
            context = {
                **self.variables,
                **variables,
                "messages": [_message(message, i, wrap) for i, message in enumerate(messages, first)],
                "tools": wrap(tools if isinstance(tools, list) else list(tools), ("tools",)) if tools else None,
                "documents": None,
                "add_generation_prompt": prompt,
            }
            with limited((list(messages), tools and list(tools), {**self.variables, **variables})):
                return within(self._compiled.root_render_func(self._compiled.new_context(context)))
        except (LimitReached, RecursionError, MemoryError) as error:
            raise TemplateRefused(f"The chat template asks for {why(error)}. No model's template needs that.") from None
        except jinja2.TemplateError as error:
            raise ChatError(f"The chat template rejects this conversation: {plain(str(error))}") from None
        except Exception as error:  # any operator or filter may fail on a user's data, each in its own way
            raise ChatError(
                f"The chat template cannot render this conversation ({type(error).__name__}: {error}). "
                "Check that each message has the fields, and the field types, that the template expects."
            ) from None


def _message(message: Mapping[str, Any], i: int, wrap: Callable[[Any, Path], Any]) -> dict[str, Any]:
    """The role is checked and so the template's own; all other values are the user's."""
    out: dict[str, Any] = {}
    for key, value in message.items():
        if key == "learn":
            continue
        out[key] = str(value) if key == "role" else wrap(value, (i, key))
    reasoning = next((out[name] for name in _REASONING if out.get(name) is not None), None)
    if reasoning is not None:
        out = {"thinking": reasoning, **out, "reasoning_content": reasoning}
    return out
