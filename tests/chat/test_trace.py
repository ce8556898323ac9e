"""Strings that know who supplied them: every operation a template may use keeps the spans right."""

from __future__ import annotations

import pytest

from tunesmith.chat.render import ChatTemplate
from tunesmith.chat.trace import Trace, Traced, plain


def drawn(text: Traced) -> str:
    """The text with what came from outside in {}."""
    out, at = "", 0
    for span in sorted(text.spans):
        out += plain(text)[at : span.start] + "{" + plain(text)[span.start : span.end] + "}"
        at = span.end
    return out + plain(text)[at:]


@pytest.mark.parametrize(
    ("expression", "want"),
    [
        ("'<' + c + '>'", "<{ab cd}>"),
        ("'<' ~ c ~ 3", "<{ab cd}3"),
        ("c * 2", "{ab cd}{ab cd}"),
        ("c[1:4] + 'x'", "{b c}x"),
        ("c[-1]", "{d}"),
        ("c.split(' ')[1] + '!'", "{cd}!"),
        ("c.split()[0]", "{ab}"),
        ("c.rsplit(' ', 1)[1]", "{cd}"),
        ("c.partition(' ')[2]", "{cd}"),
        ("('<' + c + '>').split('b')[0]", "<{a}"),
        ("c | replace('b', '-')", "{a}-{ cd}"),
        ("c.replace('b', '-')", "{a}-{ cd}"),
        ("'xbx'.replace('b', c)", "x{ab cd}x"),
        ("c | upper", "{AB CD}"),
        ("c | title + '.'", "{Ab Cd}."),
        ("'-'.join([c, c])", "{ab cd}-{ab cd}"),
        ("[c, 'y'] | join(', ')", "{ab cd}, y"),
        ("(' ' + c + ' ') | trim", "{ab cd}"),
        ("c | first", "{a}"),
        ("c | default('z')", "{ab cd}"),
        ("c | tojson", '{"ab cd"}'),
        ("'%s!' | format(c)", "{ab cd!}"),
        ("c | indent(2)", "{ab cd}"),
        ("c | reverse | list | join('')", "{d}{c}{ }{b}{a}"),
        ("c.removeprefix('ab')", "{ cd}"),
        ("c if 'ab' in c else 'no'", "{ab cd}"),
        ("c.splitlines()[0]", "{ab cd}"),
    ],
)
def test_every_operation_keeps_the_supplier(expression: str, want: str) -> None:
    template = ChatTemplate("{% set c = messages[0].content %}{{ " + expression + " }}", {})
    assert drawn(template.render([{"role": "user", "content": "ab cd"}])) == want


def test_blocks_macros_and_captures() -> None:
    source = (
        "{% macro show(x) %}[{{ x }}]{% endmacro %}{% set y %}({{ messages[0].content }}){% endset %}"
        "{{ show(y) }}{% for m in messages %}{{ loop.index }}{{ m.role }}{{ show(m.content | trim) }}{% endfor %}"
    )
    assert drawn(ChatTemplate(source, {}).render([{"role": "user", "content": " a "}])) == "[({ a })]1user[{a}]"


def test_values_deep_inside_are_traced() -> None:
    source = "{% for k, v in messages[0].args.items() %}{{ k }}={{ v }};{% endfor %}{{ messages[0].args | tojson }}"
    message = {"role": "user", "content": "", "args": {"k": "v", "n": 3}}
    assert drawn(ChatTemplate(source, {}).render([message])) == '{k}={v};{n}=3;{{"k": "v", "n": 3}}'


def test_questions_are_written_down() -> None:
    source = "{% if messages[0].content.strip().startswith('a') and 'q' not in messages[0].content %}x{% endif %}"
    trace = Trace()
    ChatTemplate(source, {}).render([{"role": "user", "content": " ab"}], trace=trace)
    asked = {(g.question, g.argument, g.answer, g.ops) for g in trace.guards}
    assert asked == {("startswith", "a", True, (("strip", None),)), ("in", "q", False, ())}
    assert trace.replayable


@pytest.mark.parametrize("expression", ["c | length", "c[0]", "c.split('x')[0]", "c < 'b'", "c.isdigit()"])
def test_what_depends_on_the_content_is_not_replayed(expression: str) -> None:
    trace = Trace()
    source = "{% set c = messages[0].content %}{{ " + expression + " }}"
    ChatTemplate(source, {}).render([{"role": "user", "content": "ab"}], trace=trace)
    assert not trace.replayable


def test_a_traced_string_is_a_string() -> None:
    trace = Trace()
    text = trace.wrap("Ab", (0, "content"))
    assert text == "Ab" and hash(text) == hash("Ab") and {text: 1}["Ab"] == 1
    assert text != "x" and (text != 3) is True and (text != "Ab") is False
    assert type(plain(text)) is str and str(text) is text


def test_the_sandbox_holds() -> None:
    from tunesmith.errors import ChatError

    with pytest.raises(ChatError):
        ChatTemplate("{{ messages.__class__.__mro__ }}{{ messages.append(1) }}", {}).render([])
