"""Programs that are right pass their tests in whatever form a model writes them; programs that are wrong never do."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation
from tunesmith.data.readers.humaneval import humaneval, mbpp
from tunesmith.data.tasks.task import Task
from tunesmith.evals.metrics import METRICS, Answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are run on Linux only")


def row_of(reader: Callable[..., Any], given: dict[str, Any]) -> Conversation:
    (row,) = reader(given, Task.__new__(Task))
    assert isinstance(row, Conversation)
    return row


def passes(text: str, row: Conversation) -> bool:
    return METRICS["passes"](Answer(text), row) == 1


HUMAN = row_of(
    humaneval,
    {
        "task_id": "Human/0",
        "prompt": "import math\nfrom typing import List\n\n\ndef half(x: float) -> float:\n    '''Half of it.'''\n",
        "canonical_solution": "    return x / 2\n",
        "test": (
            "METADATA = {}\n\n\ndef check(candidate):\n    assert abs(candidate(3) - 1.5) < 1e-6\n"
            "    assert math.isclose(candidate(5), 2.5)\n    assert candidate(8) == 4\n    assert not candidate(0)\n"
        ),
        "entry_point": "half",
    },
)
MBPP = row_of(
    mbpp,
    {
        "task_id": 1,
        "text": "Halve a number.",
        "code": "def half(x):\n    return x / 2",
        "test_list": ["assert abs(half(3) - 1.5) < 1e-6", "assert half(8) == 4", "assert round(half(5), 1) == 2.5"],
    },
)
FORGED = {
    "marks on every descriptor": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'.' * 9)\n"
        "    except OSError: pass\nos._exit(0)",
    "the verdict on every descriptor": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"passed\": true}')\n    except OSError: pass\n"
        "os._exit(0)"
    ),
    "equal to anything": (
        "class Any(float):\n    def __eq__(self, other): return True\n    __lt__ = __gt__ = __le__ = __ne__ = __eq__\n"
        "    def __sub__(self, other): return self\n    __rsub__ = __sub__\n    def __abs__(self): return self\n"
        "    def __round__(self, *a): return self\n    def __bool__(self): return False\n"
            "    def __hash__(self): return 0\n"
        "def half(x): return Any(7)"
    ),
    "equal to anything, of no known kind": (
        "class Any:\n    def __getattr__(self, name): return self\n    def __call__(self, *a): return self\n"
        "    def __eq__(self, other): return True\n    def __lt__(self, other): return True\n"
        "    def __sub__(self, other): return self\n    def __abs__(self): return self\n"
            "    def __float__(self): return 1.5\n"
        "    def __round__(self, *a): return self\n    def __bool__(self): return False\n"
        "def half(x): return Any()"
    ),
    "patched builtins": (
        "import builtins, math\nclass Yes:\n    def __eq__(self, o): return True\n"
            "    def __lt__(self, o): return True\n"
        "builtins.abs = builtins.round = lambda *a: Yes()\nmath.isclose = lambda *a: True\n"
        "class Zero(Yes):\n    def __sub__(self, o): return 0\n    def __bool__(self): return False\n"
        "def half(x): return Zero()"
    ),
    "patched frames": (
        "import sys\ndef half(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        frame.f_globals['check'] = frame.f_globals['abs'] = lambda *a: 0\n"
        "        frame.f_globals['AssertionError'] = None\n        frame = frame.f_back\n"
        "    sys.exit(0)"
    ),
    "no tests": "import sys\nsys.settrace(None)\nclass D(dict):\n    pass\ncheck = print\n"
        "def half(x): raise SystemExit(0)",
    "ends when it is called": "import os\ndef half(x): os._exit(0)",
    "ends before": "import atexit, os\natexit.register(lambda: os._exit(0))\nprint('passed')\nexit(0)",
    "replaced compilation": (
        "import builtins\nbuiltins.exec = builtins.compile = builtins.eval = lambda *a, **k: None\n"
            "def half(x): return None"
    ),
    "reads its tests": (
        "import gc\ndef half(x):\n    for o in gc.get_objects():\n"
        "        if isinstance(o, dict) and 'tests' in o and 'entry' in o: return x / 2\n    return 7"
    ),
    "returns nothing": "def half(x): return None",
    "assertions are no errors": "import builtins\nbuiltins.AssertionError = ZeroDivisionError\ndef half(x): return 7",
    "never answers": "import time\ndef half(x):\n    import os\n    os.closerange(0, 64)",
    "answers nonsense": (
        "import os\ndef half(x):\n    for fd in range(3, 64):\n"
        "        try: os.write(fd, b'\\xff\\xff\\xff\\xff' + b'[' * 99999)\n        except OSError: pass"
    ),
    "lends what it never had": (
        "import os, json, struct\ndef half(x):\n"
            "    for value in (['lent', -1, 'x'], ['lent', 'a', 'b'], ['object', 'A', []], 7):\n"
        "        data = json.dumps({'value': value}).encode()\n        for fd in range(3, 64):\n"
        "            try: os.write(fd, struct.pack('=I', len(data)) + data)\n            except OSError: pass"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("row", [HUMAN, MBPP], ids=["humaneval", "mbpp"])
def test_no_program_passes_without_being_right(row: Conversation, name: str) -> None:
    assert not passes(FORGED[name], row)
    assert passes(row.answers[0], row)


def test_what_a_program_may_still_do() -> None:
    """Strange, but right."""
    for program in (
        "import builtins\nbuiltins.abs = None\ndef half(x): return x / 2",
        "class F(float): pass\ndef half(x): return F(x / 2)",
        "from fractions import Fraction\ndef half(x): return Fraction(x, 2)",
        "half = lambda x: x / 2",
        "def half(x):\n    print('looking')\n    return x / 2\nprint(half(9))",
        "def half(x):\n    import os\n    open('note', 'w').write('x')\n    os.remove('note')\n    return x / 2",
    ):
        assert passes(program, HUMAN) and passes(program, MBPP), program


def test_tests_call_the_helpers_that_the_question_shows_not_those_of_the_program() -> None:
    """As HumanEval/32, 38 and 50 do."""
    row = row_of(
        humaneval,
        {
            "task_id": "Human/1",
            "prompt": (
                "import math\n\n\ndef poly(xs: list, x: float):\n"
                    "    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n\n\n"
                "def find_zero(xs: list):\n    '''Find x such that poly(x) = 0.'''\n"
            ),
            "canonical_solution": "    return -xs[0] / xs[1]\n",
            "test": (
                "def check(candidate):\n    import copy, random\n    rng = random.Random(42)\n    for _ in range(20):\n"
                "        coeffs = [rng.randint(1, 9), rng.randint(1, 9)]\n"
                "        assert abs(poly(coeffs, candidate(copy.deepcopy(coeffs)))) < 1e-4\n"
            ),
            "entry_point": "find_zero",
        },
    )  # fmt: skip
    assert passes(row.answers[0], row)
    assert passes(
        "```python\ndef find_zero(xs):\n    x = -xs[0] / xs[1]\n    assert abs(poly(xs, x)) < 1\n    return x\n```", row
    )
    assert not passes("def poly(xs, x): return 0\ndef find_zero(xs): return 7", row)
    assert not passes("def find_zero(xs):\n    xs[:] = [0, 0]\n    return 0", row)


def test_classes_of_the_program_and_calls_of_all_kinds() -> None:
    code = (
        "import sys\nclass Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
        "def sum(pairs):\n    total = 0\n    for pair in pairs: total += pair.b - pair.a\n    return total\n"
        "def sort(values): values.sort()\ndef kinds(values, kind): return [v for v in values if isinstance(v, kind)]\n"
        "def apply(f, values): return map(f, values)\ndef size(x): return sys.getsizeof(x)\n"
        "def fail(x):\n    if x: raise ValueError('no ' + x)\n"
    )
    row = row_of(
        mbpp,
        {
            "task_id": 2,
            "text": "?",
            "code": code,
            "test_setup_code": "first = Pair(1, 5)\nfirst.b = 4\nvalues = [3, 1, 2]",
            "test_list": [
                "assert sum([first, Pair(2, 3)]) == 4 and first.b == 4",
                "sort(values)\nassert values == [1, 2, 3]",
                "assert kinds([1, 'a', 2.5], int) == [1]",
                "assert list(apply(lambda x: x + 1, iter({1: 2}))) == [2]",
                "assert size((1, 'a')) == sys.getsizeof((1, 'a'))",
                "try:\n    fail('x')\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'no x'",
            ],
        },
    )
    assert row.checks[0]["entry"] == ["Pair", "sum", "sort", "kinds", "apply", "size", "fail"]
    assert passes(row.answers[0], row)
    assert not passes(row.answers[0].replace("total = 0", "total = 1"), row)


# -- the forms of one right answer -------------------------------------------------------------------------------------

SHOWN = (
    "import math\n\n\ndef twice(x):\n    return 2 * x\n\n\n"
    'def area(r: float) -> float:\n    """The area of a circle.\n    >>> area(0)\n    0.0\n    """\n'
)
ALONE = "def area(r):\n    if r < 0:\n        r = -r\n    return math.pi * r * twice(r) / 2\n"
BODY = "    if r < 0:\n        r = -r\n    return math.pi * r * twice(r) / 2\n"
WRONG = "def area(r):\n    return 0\n"
CIRCLE = row_of(
    humaneval,
    {
        "prompt": SHOWN,
        "canonical_solution": BODY,
        "test": "def check(candidate):\n    assert abs(candidate(-2) - 12.566) < 1e-3\n",
        "entry_point": "area",
    },
)
FORMS = {
    "whole": SHOWN + BODY,
    "whole in a fence": f"```python\n{SHOWN}{BODY}```",
    "function alone": ALONE,
    "function alone in a fence": f"```python\n{ALONE}```",
    "prose around": f"Sure! Here is the function:\n\n{ALONE}\nIt doubles. It's simple: see above.\nDone",
    "prose around a fence": f"Sure!\n\n```python\n{ALONE}```\n\nIt isn't hard.",
    "body": BODY,
    "body in a fence": f"```python\n{BODY}```",
    "body without its indentation": f"```python\n{textwrap.dedent(BODY)}```",
    "body whose beginning was stripped": BODY.strip(),
    "body, then the end of a fence": f"{BODY}```\n\nThis isn't hard, since it's short.",
    "body, then another program": f"{BODY}\n\ndef other():\n    pass\n\nif __name__ == '__main__':\n"
        f"    print(input())\n",
    "python3": f"```python3\n{ALONE}```",
    "py": f"```py\n{ALONE}```",
    "capital, four marks": f"````Python\n{ALONE}````",
    "no language": f"```\n{ALONE}```",
    "another language's name": f"```text\n{ALONE}```",
    "attributes": f'``` python title="a.py" {{.numbers}}\n{ALONE}```',
    "tildes": f"~~~python\n{ALONE}~~~",
    "CRLF": f"Here:\n```python\n{ALONE}```\nDone.".replace("\n", "\r\n"),
    "lone CR": f"```python\n{ALONE}```".replace("\n", "\r"),
    "indented fence": "1. The function:\n\n" + textwrap.indent(f"```python\n{ALONE}```", "   ") + "\n\n2. Done",
    "fence in a list": "- ```python\n" + textwrap.indent(ALONE, "  ") + "  ```",
    "quoted": textwrap.indent(f"```python\n{ALONE}```", "> "),
    "all indented": textwrap.indent(ALONE, "    "),
    "never closed": f"```python\n{ALONE}",
    "cut in the next function": f"```python\n{ALONE}\n\ndef check():\n    assert area([1, 2,",
    "usage after": f"```python\n{ALONE}```\nUsage:\n```python\nprint(area(int(input())))\n```\nOutput:\n```\n"
        f"12.5 m\n```",
    "usage in its main part": f"```python\n{ALONE}\nif __name__ == '__main__':\n    print(area(float(input())))\n```",
    "installation before": f"```bash\npip install numpy\n```\n```python\n{ALONE}```",
    "imports apart": f"```python\nimport math\n```\nand\n```python\n{ALONE}```",
    "helper after": f"```python\n{ALONE.replace('twice', 'double')}```\nwith\n```python\ndef double(x):\n"
        f"    return x + x\n```",
    "a wrong one before": f"```python\n{WRONG}```\nThat is wrong. Better:\n```python\n{ALONE}```",
    "thoughts before": f"<think>Perhaps\n```python\n{WRONG}```\nno.</think>\n\n```python\n{ALONE}```",
    "thoughts that the prompt began": f"Perhaps ```area```?</think>\n{ALONE}",
    "tags": f"[PYTHON]\n{ALONE}[/PYTHON]",
    "begin and done": f"[BEGIN]\n{ALONE}[DONE]\nand more",
    "HTML": f"<code>\n{ALONE}</code>",
    "future": f"```python\nfrom __future__ import annotations\n{ALONE}```",
    "a lambda": "```python\narea = lambda r: math.pi * r * r\n```",
    "tabs": f"```python\n{ALONE.replace('    ', chr(9))}```",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_one_right_answer_in_many_forms(form: str) -> None:
    assert passes(FORMS[form], CIRCLE)
    assert not passes(FORMS[form].replace("* r", "+ r"), CIRCLE)


@pytest.mark.parametrize(
    "text",
    [
        "", "Here it is: math.pi * r * r", "```python\n```", f"<think>\n```python\n{ALONE}```\n", "    pass", "return",
        f"```python\n{ALONE}```\nBetter:\n```python\n{WRONG}```", "(" * 100_000, "-" * 1_000_000 + "1", "\x00" + ALONE,
        "def area(r):\n" + "".join(f"{' ' * i}if r:\n" for i in range(1, 300)), "```\n"
            "" * 10_000, "[" * 5000 + "]" * 5000,
    ],
    ids=range(13),
)  # fmt: skip
def test_no_right_answer_in_it(text: str) -> None:
    assert not passes(text, CIRCLE)


def test_a_row_without_tests_is_told() -> None:
    with pytest.raises(EvalError, match="names none"):
        passes(ALONE, Conversation(()))
