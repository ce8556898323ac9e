"""Templates that would hang or fill the memory: each is refused, soon, in any thread, and others are as before."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

from tunesmith.chat.render import ChatTemplate
from tunesmith.core.errors import ChatError
from tunesmith.core.jinja import Limited
from tunesmith.core.jinja_budget import limited
from tunesmith.data.tasks.template import Unbounded, compiled, rendered

LOOPS = {
    "nested ranges": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "a long range": "{% for a in range(10**9) %}{% endfor %}",
    "an endless range": "{{ range(10**30)|list }}",
    "loops in macros": "{% macro f(n) %}{% for a in range(1000) %}{{ n }}{% endfor %}{% endmacro %}"
    "{% for a in range(99999) %}{{ f(a) }}{% endfor %}",
    "a recursive loop": "{% for a in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "macros that call themselves": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macros that call themselves twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}"
    "{{ f(99) }}",
    "a block in itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "maps of maps": "{% for a in range(99999) %}{{ range(99999)|map('string')|map('upper')|list|length }}{% endfor %}",
    "comparisons": "{% set x = range(99999)|list %}{% for a in range(99999) %}{% if x == range(99999)|list %}"
    "{% endif %}{% endfor %}",
}
SLOW = {
    "loops that skip": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "filters over ranges": "{{ range(99999)|select('in', range(99999)|list)|list|length }}",
}
"""What cannot be counted is stopped by the clock of the thread."""
SIZES = {
    "a long text": "{{ 'x' * 10**9 }}",
    "a text that is long times": "{{ 10**10 * 'x' }}",
    "a long list": "{{ ([1] * 10**9)|length }}",
    "a list of texts": "{{ (['x' * 1000] * 10**7)|join|length }}",
    "doubling": "{% set ns = namespace(x='x') %}{% for a in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling with ~": "{% set ns = namespace(x='x') %}{% for a in range(64) %}{% set ns.x = ns.x ~ ns.x %}"
    "{% endfor %}",
    "doubling lists": "{% set ns = namespace(x=[1]) %}{% for a in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a list in itself twice": "{% set ns = namespace(x=[1]) %}{% for a in range(64) %}{% set ns.x = [ns.x, ns.x] %}"
    "{% endfor %}{{ ns.x }}",
    "dictionaries twice": "{% set ns = namespace(x={}) %}{% for a in range(64) %}"
    "{% set ns.x = {'a': ns.x, 'b': ns.x} %}"
    "{% endfor %}{{ ns.x|tojson }}",
    "tuples that are equal": "{% set ns = namespace(x=(1,), y=(1,)) %}{% for a in range(64) %}"
    "{% set ns.x = (ns.x, ns.x) %}{% set ns.y = (ns.y, ns.y) %}{% endfor %}{{ ns.x == ns.y }}",
    "center": "{{ 'x'|center(10**9) }}",
    "center of many": "{{ range(99999)|map('center', 100000)|list|length }}",
    "ljust": "{{ 'x'.ljust(10**9) }}",
    "zfill": "{{ '1'.zfill(10**10) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(10**7)|length }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent with a star": "{{ '%*d' % (10**9, 1) }}",
    "percent with a precision": "{{ '%.1000000000f' % 1.0 }}",
    "percent of one value often": "{{ ('%(a)s' * 10000) % {'a': 'x' * 1000000} }}",
    "the filter format": "{{ '%1000000000d'|format(1) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format with a width that is given": "{{ '{:{}}'.format('x', 10**9) }}",
    "format_map": "{{ '{a:1000000000}'.format_map({'a': 1}) }}",
    "format of one value often": "{{ ('{0}' * 10000).format('x' * 1000000) }}",
    "format of a safe text": "{{ ('{:1000000000}'|safe).format(1) }}",
    "format as an item": "{{ '{:1000000000}'['format'](1) }}",
    "format as an attribute": "{{ ('{:1000000000}'|attr('format'))(1) }}",
    "join": "{{ range(99999)|join('x' * 1000000) }}",
    "str.join": "{{ ('x' * 1000000).join(range(99999)|map('string')) }}",
    "replace": "{{ ('x' * 100000).replace('x', 'y' * 100000)|length }}",
    "replace of nothing": "{{ ('x' * 100000)|replace('', 'y' * 100000)|length }}",
    "translate": "{{ ('a' * 100000).translate({97: 'x' * 100000})|length }}",
    "indent": "{{ ('\n' * 10000)|indent(10**6)|length }}",
    "indent with a text": "{{ ('x\n' * 10000)|indent('y' * 100000)|length }}",
    "wordwrap": "{{ ('x ' * 100000)|wordwrap(1, wrapstring='y' * 100000)|length }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list|length }}",
    "slice": "{{ [1]|slice(10**9)|list|length }}",
    "round": "{{ 5|round(10**9, 'ceil') }}",
    "tojson": "{{ [[1]]|tojson(indent=10**9) }}",
    "sum of lists": "{{ ([[1] * 1000] * 1000)|sum(start=[])|length }}" * 9,
    "powers": "{{ 9999 ** 99999999 }}",
    "powers of powers": "{{ 10 ** (10 ** 10) }}",
    "products": "{% set ns = namespace(x=9999) %}{% for a in range(64) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "bytes": "{{ (5).to_bytes(10**9, 'big')|length }}",
    "lipsum": "{{ lipsum(n=10**6) }}",
    "long words": "{{ lipsum(max=10**9, min=10**8, n=1) }}",
    "output": "{% set x = 'x' * 1000000 %}{% for a in range(99999) %}{{ x }}{% endfor %}",
    "output of lists": "{% set x = range(99999)|list %}{% for a in range(99999) %}{{ x }}{% endfor %}",
    "output of a macro": "{% set x = 'x' * 1000000 %}{% macro f() %}{% for a in range(9999) %}{{ x[a:] }}{% endfor %}"
    "{% endmacro %}{{ f()|length }}",
    "a captured text": "{% set x %}{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}{% endset %}",
    "lists of a generator": "{{ ('b' * 7900000)|batch(1)|list|length }}",
    "join of a generator": "{{ ('b' * 7900000)|batch(1)|join|length }}",
    "tests of every character": "{{ ('b' * 7900000)|reject('string')|list|length }}",
    "many arguments": "{% macro f() %}{{ varargs|length }}{% endmacro %}{{ f(*('b' * 7900000)) }}",
    "a slow codec": "{{ ('\u00fc' * 100000).encode('punycode')|length }}",
    "a namespace in itself": "{% set ns = namespace() %}{% set ns.me = ns %}{{ [ns]|string|length }}",
    "slices": "{% macro f(s) %}{{ f(s[1:]) }}{% endmacro %}{{ f('x' * 4000000) }}",
}
COMPILED = {
    "brackets": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "lists": "{{ " + "[" * 1000 + "]" * 1000 + " }}",
    "a long sum": "{{ " + "+".join(["1"] * 50_000) + " }}",
    "a long chain": "{{ x" + ".a" * 50_000 + " }}",
    "nots": "{{ " + "not " * 50_000 + "1 }}",
    "nested loops": "{% for a in b %}" * 40 + "{% endfor %}" * 40,
    "nested ifs": "{% if a %}" * 2000 + "{% endif %}" * 2000,
    "a long number": "{{ " + "9" * 10_000 + " }}",
    "a long template": "x" * 1_000_000,
}


class _Plain(Limited, SandboxedEnvironment):
    """Lists can be changed, as in the templates of promptsource."""


MUTABLE = {
    "extend": "{% set x = [1] %}{% for a in range(64) %}{% set _ = x.extend(x) %}{% endfor %}",
    "append": "{% set ns = namespace(x=[1]) %}{% for a in range(64) %}{% set y = [] %}{% set _ = y.append(ns.x) %}"
    "{% set _ = y.append(ns.x) %}{% set ns.x = y %}{% endfor %}{{ ns.x }}",
    "update": "{% set ns = namespace(x={}) %}{% for a in range(64) %}{% set y = {} %}"
    "{% set _ = y.update(a=ns.x, b=ns.x) %}"
    "{% set ns.x = y %}{% endfor %}{{ ns.x }}",
}
ASK = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("source", SIZES.values(), ids=SIZES)
def test_what_is_too_large_is_refused_before_it_is_made(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(Unbounded, match=r"asks for (a|an|more|too|rounding|macros)\b"):
        rendered(compiled(source), {})
    with pytest.raises(ChatError, match="The chat template asks for"):
        ChatTemplate(source, {}).render(ASK)
    assert time.thread_time() - began < 10


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_what_takes_too_long_is_refused(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(Unbounded, match=r"asks for (a|an|more|too|macros)\b"):
        rendered(compiled(source), {})
    assert time.thread_time() - began < 10


@pytest.mark.full
@pytest.mark.parametrize("source", {**LOOPS, **SLOW}.values(), ids={**LOOPS, **SLOW})
def test_what_takes_too_long_is_refused_in_chat_templates(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(ChatError, match="The chat template asks for"):
        ChatTemplate(source, {}).render(ASK)
    with pytest.raises(Unbounded, match=r"asks for (a|an|more|too|macros)\b"):
        rendered(compiled(source), {})
    assert time.thread_time() - began < 20


@pytest.mark.parametrize("source", COMPILED.values(), ids=COMPILED)
def test_what_cannot_be_compiled_is_an_error_of_syntax(source: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        compiled(source)
    with pytest.raises(ChatError, match="does not compile"):
        ChatTemplate(source, {})


@pytest.mark.parametrize("source", MUTABLE.values(), ids=MUTABLE)
def test_lists_that_grow(source: str) -> None:
    template = _Plain().from_string(source)
    with pytest.raises(Unbounded, match="asks for"):
        rendered(template, {})


def test_with_half_a_gigabyte_all_is_refused() -> None:
    """In a process that has no more: nothing is made before it is asked for."""
    root = Path(__file__).parents[2]
    code = (
        "import resource\n"
        "from tests.core.test_jinja import SIZES, MUTABLE, _Plain\n"
        "from tunesmith.data.tasks.template import rendered, compiled, Unbounded\n"
        "from tunesmith.chat.environment import TracingEnvironment\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29),) * 2)\n"
        "for name, source in {**SIZES, **MUTABLE}.items():\n"
        "    template = _Plain().from_string(source) if name in MUTABLE else compiled(source)\n"
        "    try: rendered(template, {})\n"
        "    except Unbounded as error: assert 'memory' not in str(error), (name, error)\n"
        "    else: raise SystemExit(name)\n"
        "print('all refused')"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=300)
    assert ran.stdout == "all refused\n", ran.stderr[-2000:]


def test_in_any_thread() -> None:
    told: list[str] = []

    def work(source: str) -> None:
        try:
            rendered(compiled(source), {})
        except Unbounded as error:
            told.append(str(error))

    threads = [threading.Thread(target=work, args=(SIZES[name],)) for name in ("a long text", "doubling", "join")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3 and all("more than 8,000,000 characters" in text for text in told)


def test_who_gives_much_may_make_much() -> None:
    text = "word " * 4_000_000
    assert len(rendered(compiled("{{ x ~ x }}{{ x|upper }}{{ x|trim|length }}"), {"x": text})) > 3 * len(text)
    wide = ChatTemplate("{{ messages[0].content + '!' }}", {}).render([{"role": "user", "content": text}])
    assert str.__len__(wide) == len(text) + 1


ORDINARY = (
    "{% for a in x if a > 1 %}{{ loop.index }}/{{ loop.length }}{{ a }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{{ x|join(', ') }} {{ x[1:] }} {{ x[::-1]|list }} {{ 'abc'[:-1] }} {{ 'abc'[1] }} "
    "{{ (1, 2)[0] }} {{ {'a': x}.a }}",
    "{{ '%s-%05d' % ('a', 3) }} {{ '{:>4}|{a!r}'.format(1, a='b') }} {{ '{0[a]}'.format({'a': 1}) }} {{ '%d %%' % 5 }}",
    "{{ x|sum }} {{ x|map('string')|join('+') }} {{ x|batch(2)|list }} {{ x|slice(2)|list }} {{ 2.345|round(1) }}",
    "{{ 'a\nb'|indent(2) }} {{ 'a b'|wordwrap(1) }} {{ 'x'|center(5) }} "
    "{{ 'aXa'|replace('a', 'b', 1) }} {{ x|tojson }}",
    "{% macro f(a, b=2) %}[{{ a }}{{ b }}{{ caller() if caller is defined }}]{% endmacro %}"
    "{{ f(1) }}{% call f(3) %}c{% endcall %}",
    "{% set ns = namespace(n=0) %}{% for a in x %}{% set ns.n = ns.n + a %}{% endfor %}{{ ns.n }} {{ 2**10 * 3 - 1 }}",
    "{{ [1, 2] + [3] }} {{ 'a' ~ 1 ~ none }} {{ 'ab' * 2 }} {{ [1] * 2 }} "
    "{{ '-'.join(['a', 'b']) }} {{ 'a,b'.split(',') }}",
    "{% block t %}{{ x|length }}{% endblock %}{% filter upper %}abc{% endfilter %}{% set y %}q"
    "{{ x[0] }}{% endset %}{{ y }}",
    "{{ y is defined }} {{ x is iterable }} {{ 2 in x }} {{ 'a' in 'abc' }} "
    "{{ x|select('gt', 1)|list }} {{ x == [1, 2] }}",
    "{% for k, v in {'a': 1, 'b': [x]}|dictsort %}{{ k }}{{ v }}{% endfor %}{{ '<a>'|e }}"
    "{{ '<a>'|safe }}{{ '<' + 'b'|e }}",
    "{% for a in [[1, [2]], [3]] recursive %}{{ loop(a) if a is iterable else a }}{% endfor %}{{ range(3)|list }}",
)


@pytest.mark.parametrize("source", ORDINARY)
def test_ordinary_templates_give_what_jinja_gives(source: str) -> None:
    want = ImmutableSandboxedEnvironment().from_string(source).render(x=[1, 2, 3])
    assert rendered(compiled(source), {"x": [1, 2, 3]}) == want


def test_a_budget_is_of_one_rendering() -> None:
    for _ in range(30):
        assert len(rendered(compiled("{{ x * 7000000 }}"), {"x": "a"})) == 7_000_000
    with limited({}):
        pass
