"""A chat template in Ollama's words, and the Modelfile around it.

Ollama does not run Jinja; it has templates of Go. Where a chat template writes every turn as "something, the text,
something", whatever stands around it, the same can be said in Go. Which somethings these are is found by asking the
template, and then tried on conversations: a template that is more than that is refused, since a model that is asked in
another way than it was trained answers worse, and nothing tells.

    modelfile(fmt)      the text of a Modelfile, for a folder that holds the model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunesmith.chat.format import ChatFormat
from tunesmith.chat.trace import plain
from tunesmith.core.errors import ChatError, TemplateRefused

Turns = Sequence[Mapping[str, str]]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Regular:
    """What stands before and after the text of each role's turns; ``system`` is None where it is not taken."""

    around: Mapping[str, tuple[str, str]]
    opening: str
    """What the answer follows."""

    def render(self, turns: Turns) -> str:
        """A prompt as Ollama would make it."""
        return (
            "".join(self.around[t["role"]][0] + t["content"] + self.around[t["role"]][1] for t in turns) + self.opening
        )


def modelfile(fmt: ChatFormat) -> str:
    """Read by ``ollama create``: where the weights are, the template, and what ends an answer."""
    regular = regular_form(fmt)
    stops = [str(fmt.tok.decode([i])) for i in sorted(fmt.stop_ids)]
    lines = ["FROM .", f'TEMPLATE """{_go(regular)}"""', *(f'PARAMETER stop "{stop}"' for stop in stops)]
    return "\n".join(lines) + "\n"


def regular_form(fmt: ChatFormat) -> Regular:
    """What stands around each turn; refused where that is not all that the template does."""
    begin = fmt.tok.bos_token or ""

    def render(turns: Turns, prompt: bool = False) -> str:
        text = plain(fmt.template.render(list(turns), (), prompt=prompt))
        return text.removeprefix(begin) if begin else text  # the engine puts it there by itself

    one, two, three = (turn("user", "ONE"), turn("assistant", "TWO"), turn("user", "THREE"))
    try:
        asked, again = render([one]), render([one, two, three])
        opening = _rest(render([one], prompt=True), asked)
        before, after = _halves(asked, "ONE")
        # An answer is looked at where a question follows it: in a prompt, one always does.
        answer, end = _rest(again, asked), before + "THREE" + after
        if not answer.endswith(end):
            raise TemplateRefused("later questions are written in another way than the first")
        around = {"user": (before, after), "assistant": _halves(answer.removesuffix(end), "TWO")}
        try:
            told = render([turn("system", "ZERO"), one])
        except ChatError:
            told = ""
        if told:
            around["system"] = _halves(told.removesuffix(asked), "ZERO")
        found = Regular(around, opening)
        for turns in _conversations("system" in around):
            if found.render(turns) != render(turns, prompt=True):
                raise TemplateRefused("it writes some conversations in another way")
    except (TemplateRefused, ChatError) as error:
        raise TemplateRefused(
            f"This chat template cannot be written for Ollama: {error}. The folder can still be used by transformers, "
            "vLLM and llama.cpp, which run the template itself."
        ) from None
    return found


def turn(role: str, text: str) -> dict[str, str]:
    """A message."""
    return {"role": role, "content": text}


def _conversations(system: bool) -> list[Turns]:
    user, answer = turn("user", "What is 2 + 2?\n\nSay it."), turn("assistant", "Four.\n四")
    found: list[Turns] = [[user], [user, answer, user], [user, answer, user, answer, turn("user", "好吗？")]]
    return [*found, *([turn("system", "Be brief."), *turns] for turns in found if system)]


def _halves(text: str, middle: str) -> tuple[str, str]:
    before, found, after = text.partition(middle)
    if not found:
        raise TemplateRefused("it does not write every turn's text")
    return before, after


def _rest(longer: str, shorter: str) -> str:
    if not longer.startswith(shorter):
        raise TemplateRefused("it writes earlier turns anew as a conversation grows")
    return longer[len(shorter) :]


def _go(form: Regular) -> str:
    """The template in Go: the turns in order, then the opening of the answer."""
    parts = ["{{- range .Messages }}"]
    for i, role in enumerate(r for r in ROLES if r in form.around):
        before, after = form.around[role]
        test = f'{{{{- {"else " if i else ""}if eq .Role "{role}" }}}}'
        parts.append(f"{test}{_text(before)}{{{{ .Content }}}}{_text(after)}")
    # Space at the edges of an action would be eaten by "-", so texts stand as quoted Go strings.
    return "".join([*parts, "{{- end }}{{- end }}", _text(form.opening)])


def _text(text: str) -> str:
    if not text:
        return ""
    quoted = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    )
    return f'{{{{ "{quoted}" }}}}'
