"""What can be found in an answer: placeholders, postscripts, lists, highlights, sections, titles, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tunesmith.evals.constraints.check import CHECKS, found

_YES_NO = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_YES_NO_ZH = ("我的答案是肯定的。", "我的答案是否定的。", "我的答案是不确定。")


@CHECKS.add("detectable_content:number_placeholders")
def number_placeholders(text: str, *, zh: bool, num_placeholders: int) -> bool:
    """At least so many places in square brackets, such as [address]."""
    return len(re.findall(r"\[.*?\]|【.*?】" if zh else r"\[.*?\]", text)) >= num_placeholders


@CHECKS.add("detectable_content:postscript")
def postscript(text: str, *, zh: bool, postscript_marker: str) -> bool:
    """Somewhere a postscript begins; spaces within P.S. do not matter."""
    marker = postscript_marker.strip().lower()
    return bool(found({"p.s.": r"p\.\s?s\.", "p.p.s": r"p\.\s?p\.\s?s"}.get(marker, marker), text.lower()))


@CHECKS.add("detectable_format:number_bullet_lists")
def number_bullet_lists(text: str, *, zh: bool, num_bullets: int) -> bool:
    """Exactly so many lines that begin with * or -; in Chinese also with • or ·."""
    marks = (r"^\s*\*[^*].*$", r"^\s*[-•·].*$" if zh else r"^\s*-.*$")
    return sum(len(re.findall(mark, text, re.MULTILINE)) for mark in marks) == num_bullets


@CHECKS.add("detectable_format:constrained_response")
def constrained_response(text: str, *, zh: bool, options: Sequence[str] = ()) -> bool:
    """One of the given answers is there, to the letter: yes, no and maybe where none are given."""
    return any(option in text for option in options or (_YES_NO_ZH if zh else _YES_NO))


@CHECKS.add("detectable_format:number_highlighted_sections")
def number_highlighted_sections(text: str, *, zh: bool, num_highlights: int) -> bool:
    """At least so many *highlights* or **highlights**. As in IFEval, a pair of stars within a double one counts too."""
    single = [one for one in re.findall(r"\*[^\n*]*\*", text) if one.strip("*").strip()]
    double = [one for one in re.findall(r"\*\*[^\n*]*\*\*", text) if one[2:-2].strip()]
    return len(single) + len(double) >= num_highlights


@CHECKS.add("detectable_format:multiple_sections")
def multiple_sections(text: str, *, zh: bool, section_spliter: str, num_sections: int) -> bool:
    """At least so many headings such as ``Section 2`` (第 2 节: ``第``)."""
    splitter = re.escape(section_spliter.strip())
    number = r"[\d一二三四五六七八九十]+" if zh else r"\d+"
    return len(re.findall(rf"{splitter}\s?{number}", text)) >= num_sections


@CHECKS.add("detectable_format:json_format")
def json_format(text: str, *, zh: bool) -> bool:
    """All of it is JSON, in a fence of backticks or not."""
    text = text.strip()
    for mark in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(mark)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


@CHECKS.add("detectable_format:title")
def title(text: str, *, zh: bool) -> bool:
    """A title in <<double angular brackets>>; in Chinese 《》 does too."""
    titles = [one.lstrip("<").rstrip(">") for one in re.findall(r"<<[^\n]+>>", text)]
    titles += re.findall(r"《([^\n》]+)》", text) if zh else []
    return any(one.strip() for one in titles)
