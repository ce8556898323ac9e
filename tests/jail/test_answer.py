"""Where the program stands in an answer. That all forms also pass is in tests/evals/metrics/test_passes.py."""

from __future__ import annotations

import pytest

from tunesmith.jail.answer import context, program_in

BEGIN = (
    'import math\nLIMIT = 3\n\ndef twice(x):\n    return 2 * x\n\ndef half(x: int) -> float:\n    """Half of it."""\n'
)


def test_what_the_question_has_shown() -> None:
    assert context(BEGIN, ["half"]) == "import math\nLIMIT = 3\n\ndef twice(x):\n    return 2 * x"
    assert context("from a import b\ndef half(x):\n", ["half"]) == "from a import b"
    assert (
        context("import math\nclass A:\n    def half(self):\n", [])
        == "import math\n\nclass A:\n\n    def half(self):\n        pass"
    )
    assert context("import math\nhalf of it (", ["half"]) == "import math"
    assert context("", ["half"]) == ""


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("def half(x):\n    return x / 2", ["def half(x):\n    return x / 2\n"]),
        ("Yes\n```py\nA = 1\nprint(A)\n```\n~~~\ndef half(x):\n    return A\n~~~", ["A = 1", "def half(x):\n"
            "    return A\n"]),
        ("```\ndef half(x): return 1\n```\n```\ndef half(x): return 2\n```", ["def half(x): return 2\n"]),
        ("no program", ["no program"]),
        ("```\nimport os\ndef other(): pass\n```", ["```\nimport os\ndef other(): pass\n```"]),
        ("Note: this\nhalf = abs\nDone", ["half = abs"]),
    ],
)  # fmt: skip
def test_programs(text: str, want: list[str]) -> None:
    given, *found = program_in(text, "", ["half"])
    assert given == "" and found == want


def test_a_body_goes_on_with_what_was_shown() -> None:
    given, program = program_in("    y = x\n    return y / 2\n", BEGIN, ["half"])
    assert given == context(BEGIN, ["half"])
    assert program.startswith(BEGIN) and program.endswith("    return y / 2\n")


def test_without_a_wanted_name_all_of_it_counts() -> None:
    assert program_in("```\nx = 1\n```\nand\n```\ny = x\n```", "", []) == ["", "x = 1", "y = x\n"]
