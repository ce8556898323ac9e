"""Parse a judge's verdict: the best answer, a tie, or None if it cannot be parsed.

    verdict("Answer A is clear and right.\\n[[A]]", answers=2)     0
    verdict("[[A]] or [[B]]: tie", answers=2)                     -1
    verdict("A is better if you like long answers.", answers=2)   None

A judge is asked to end with a line such as ``[[A]]`` or ``[[tie]]``, and many do not. Lines are parsed from the last
one upwards, to the first that claims anything. Within a line:

1. Names of answers (``[[A]]``, ``Answer A``, ``回答A``, ``A``) become marks; the article "a" does not.
2. Each sentence is searched for claims: that an answer wins, or that none does. Claims that are negated,
   conditional, questions, or about one aspect do not count. Double brackets alone are a claim without any words.
3. Claims of a line that disagree are settled by a conclusion ("overall", "verdict"), or by what follows "but". What
   stays ambiguous is not parsed: a wrong verdict is worse than one that is counted as unparsed.
"""

from __future__ import annotations

import re
import unicodedata

TIE = -1

_R = r"«([A-Z])»"
_ADVERBS = (
    r"(?:(?:clearly|slightly|much|far|just|simply|definitely|overall|the|a|an|my|marginally|somewhat|significantly|"
    r"obviously|still|therefore|thus|generally|considerably|by far|a bit|also|ultimately|indeed|to be|"
    r"and away|far and away|"
    r"overall,|one|here)\s+)*"
)
_BEST = r"(?:best|better|superior|preferable|preferred|winner|winning|stronger|strongest|favou?rite|overall best)\b"
_NOUN = (
    r"(?:verdict|choice|winner|preference|judge?ment|decision|pick|vote|conclusion|answer|result|final|"
    r"(?:best|better|preferred|winning|stronger|superior)(?: (?:answer|response|one|option|reply|output))?)"
)
_WINS: tuple[str, ...] = (
    rf"{_R}\s*,?\s*(?:is|was|would be|seems|looks|appears|remains|stands out as|as)\s+{_ADVERBS}{_BEST}",
    rf"{_R}\s+{_ADVERBS}(?:wins|win|won|prevails|comes out (?:ahead|on top)|beats|outperforms|outdoes|surpasses|"
    rf"edges out|takes (?:it|this)|gets my vote|has the edge|deserves to win)\b",
    rf"\b{_NOUN}(?:\s+(?:here|overall|of the two|for me))?\s*\"?(?:is|was|:|=|->|→|-|—|goes to)"
    rf"\s*\"?{_ADVERBS}{_R}",
    rf"{_R}\s+(?:provides|gives|offers|does|has|presents|delivers|gave|provided)\s+{_ADVERBS}{_BEST}",
    rf"{_R}\s+(?:is\s+)?{_ADVERBS}ahead\b",
    rf"\b(?:therefore|thus|so|hence|overall|finally|it is|it's|i'd say|i would say|i say)"
    rf"\s*[:,]?\s*{_ADVERBS}{_R}\s*[.!]*$",
    rf"^\W*{_R}(?:\s*,\s*(?:definitely|clearly|obviously|undoubtedly|without doubt)\b|\s*[-–—]\s)",
    rf"^\W*(?:clearly|definitely|obviously|undoubtedly|certainly)\s*,?\s*{_R}\W*$",
    rf"\bso (?:is|does)\s+{_R}",
    rf"\b(?:prefer|choose|chose|pick|picked|select|vote for|voting for|favou?r|go with|going with|opt for|side with|"
    rf"declare|prefers|give it to)\s+{_ADVERBS}{_R}",
    rf"{_R}\s*(?:>+|≻)\s*{_R}",
    rf"{_R}\s*(?:回答|答案|明显|显然|略|稍|整体|总体|相对|确实|要|会|是|的|表现|质量|都|在各方面|各方面|,)*(?:更好|更佳|更优|更胜一筹|"
    rf"较好|较佳|最好|最佳|最优|胜出|获胜|胜|赢|为佳|占优|好于|优于|胜过|强于|好一些|好一点|略胜|"
    rf"好(?=\s*(?:[。.!！,，]|$)))",
    rf"{_R}\s*比\s*(?:«[A-Z]»)\s*(?:的回答)?(?:明显|略|稍|更|要)*(?:好|佳|强|优)",
    rf"(?:选择|选|我选|首选|投给|支持|偏向|倾向于?|推荐|更喜欢)\s*(?:的是|了|是|:)?\s*{_R}",
    rf"(?:最好|最佳|更好|更佳|最优|更优|较好|胜出|获胜|优胜)(?:的)?(?:回答|答案|者|一方|选项)?\s*(?:的)?(?:是|为|:|应为|应该是)\s*{_R}",
    rf"(?:结论|判断|判定|裁决|最终答案|答案|结果|最终选择|评判)\s*(?:是|为|:)\s*{_R}",
)
"""The first mark wins. Sentences are in lower case; marks are in capitals."""
_LOSES: tuple[str, ...] = (
    rf"{_R}\s+(?:is|was|seems)\s+{_ADVERBS}(?:worse than|inferior to|weaker than|not as good as|"
    rf"less helpful than)\s+{_R}",
    rf"{_R}\s+(?:loses to|is beaten by|falls short of|is outperformed by)\s+{_R}",
    rf"{_R}\s*(?:<+|≺)\s*{_R}",
    rf"{_R}\s*(?:明显|略|稍|远)*(?:不如|不及|逊于|次于|差于|比不上|没有)\s*{_R}(?!\s*(?:差|更差))",
    rf"{_R}\s*比\s*{_R}\s*(?:更|要|明显|略)*差",
)
"""The second mark wins."""
_TIES: tuple[str, ...] = (
    r"(?<!neck)(?<!bow )\b(?:tie|tied|toss-?up|stalemate)\b(?!-| ?break)",
    r"(?:\b(?:a|is|result|verdict)|«A»)\s*:?\s*draw\b|^\W*draw\W*$",
    r"\bequal(?:ly)?\b(?! long| short)|\bon (?:a )?par\b|\bevenly matched\b|\bindistinguishable\b|\bjust as good as\b",
    r"\b(?:no|without a) (?:clear |real |meaningful )?(?:winner|preference|difference)\b",
    r"\bneither "
    r"(?:of them |of the two |answer |one |response |\s*«[A-Z]»\s+nor\s+«[A-Z]»\s+)?(?:is|are|was|stands|wins)\b",
    r"^\W*neither\W*$|(?:\bis|:)\s*neither\b\W*$|\bno (?:answer|response|one) is better\b",
    r"\bboth are (?:as good|the same|of the same)|\bsame quality\b|\bnone (?:of them )?is better\b",
    rf"{_R}\s*(?:=+|≈|~)\s*{_R}",
    r"平局|平手|打平|平分秋色|势均力敌|旗鼓相当|不相上下|不分(?:高下|上下|伯仲|胜负|优劣)|难分(?:高下|上下|伯仲|胜负|优劣)",
    r"一样好|同样好|同样出色|水平相当|质量相当|两者相当|相差无几|差不多|没有(?:明显)?(?:的)?(?:差别|区别|高下|优劣)|并列",
)
_DENIED = re.compile(
    r"\b(?:not|neither|nor|never|cannot|hardly|whether|if|unless|almost|nearly|could|might|may|would have|close to|"
    r"suppose|rather than|instead of|avoid|no reason to|hard to|difficult to|unsure|unclear|which)\b|n't\b|"
    r"不(?!相上下|分|过|仅|错)|没(?!有明显|有差|有区|有高|有优)|未|并非|难以|无法|如果|假如|若|是否|几乎|接近|也许|可能|要是|哪"
)
_CONDITION = re.compile(
    r"^[^.;!?。；！？]*?(?:\b(?:if|unless|provided|assuming|depending)\b|如果|前提|除非|的话|取决于)"
)
_ASPECT = re.compile(
    r"^\s*(?:in|at|on|for|regarding|when it comes to|formatted|written|structured|worded|organi[sz]ed|for those)\b"
    r"(?!\s+(?:all|every|general|both|most|my|total|this|the whole|the end|any|these|quality|balance|conclusion))|"
    r"^\s*(?:的)?(?:格式|文风|排版|语气|长度|结构)"
)
_ASPECT_BEFORE = re.compile(
    r"\b(?:in terms of|regarding|as for|stylistically|on style)\b|"
    r"(?:在|从)?(?:格式|文风|排版|语气|长度|结构|风格)(?:上|方面)"
)
_CONCLUDES = re.compile(
    r"\b(?:overall|therefore|thus|hence|so|finally?|in (?:conclusion|sum|short|the end)|verdict|conclusion|"
    r"to sum up|ultimately|all in all|on balance|my (?:choice|pick|vote))\b|"
    r"总的来说|总体|综上|综合|因此|所以|总之|最终|结论|最后"
)
_CONTRAST = re.compile(
    r"\b(?:but|however|yet|nevertheless|still|actually|instead|on reflection|though)\b|但是|但|不过|然而|其实|反而"
)
_GIVES_UP = re.compile(
    r"\b(?:cannot|can't|can not|unable to|impossible to|hard to|refuse to|difficult to|won't|not going to)\s+"
    r"(?:\w+\s+)?(?:say|decide|choose|judge|tell|determine|pick|compare|prefer)|无法(?:判断|决定|比较|评判|确定|给出)|难以(?:判断|决定|取舍)|拒绝"
)
_WORD = r"(?:answer|response|assistant|option|model|output|candidate|reply|system|chatbot)"
_OWNED = re.compile(r"«([A-Z])»\s*'s\s+(?:\w+\s+)?(?:answer|response|reply|output|solution|version)")
_NAMED = re.compile(
    rf"(?<![a-z])(?:the\s+)?{_WORD}\s*[\"'(\[]*\s*([A-Za-z])(?![A-Za-z]|'(?!s\b)[a-z])(?:\s*[\"')\]]+(?!s\b))?|"
    r"(?:回答|答案|选项|助手|回复|模型|答复)\s*[\"'(\[]*\s*([A-Z])(?![A-Za-z])(?:\s*[\"')\]]+(?!s\b))?",
    re.IGNORECASE,
)
_INSIDE = re.compile(r"\[\[([^\[\]]{1,40})\]\]")
_BOXED = re.compile(
    r"\\boxed\s*\{\s*(?:\\text\s*\{)?\s*([^{}]{1,30}?)\s*\}+|【\s*([^【】]{1,30}?)\s*】|^\W*\[([^\[\]]{1,20})\]\W*$"
)
_TIE_WORD = re.compile(r"\W*(?:tie|draw|tied|both|neither|equal|none|平局|平手|不分高下|都好|相同)\W*", re.IGNORECASE)
_ALONE = re.compile(r"(?<![A-Za-z«])([A-Z])(?![A-Za-z»]|'(?!s\b))")


def verdict(text: str, answers: int) -> int | None:
    """The index of the preferred answer, ``TIE``, or None if the verdict cannot be parsed."""
    if len(text) > _LONGEST:
        text = text[-_LONGEST:]
    lines = [line for line in _plain(text).splitlines() if line.strip()]
    for i, line in enumerate(reversed(lines)):
        bracketed = _of_brackets(line)
        found = bracketed if bracketed is not None else _claims(line, bare=i == 0)
        if found:
            (claim,) = found if len(found) == 1 else ("?",)
            place = TIE if claim == "tie" else ord(claim) - ord("A")
            return place if place in range(TIE, answers) else None
        if _GIVES_UP.search(line.lower()):
            return None
    return None


_LONGEST = 2000
"""Only so many characters from the end are parsed, because a judge may repeat itself endlessly."""


def _plain(text: str) -> str:
    """Without markup; full-width letters and marks are plain ones."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("“", '"').replace("”", '"')
    text = re.sub(r"[*_`#]+|</?[a-z]{1,12}>", "", text, flags=re.IGNORECASE)
    return re.sub(r"^\s*(?:>|[-•]\s)\s*", "", text, flags=re.MULTILINE)


def _of_brackets(line: str) -> set[str] | None:
    """What stands in double brackets, where that alone is a verdict; None where the words around it have to be read."""
    line = _BOXED.sub(lambda m: f"[[{next(g for g in m.groups() if g)}]]", line)
    sentences = [s for s in re.split(r"(?<=[.;!?。；！？])\s*", line) if _INSIDE.search(s)]
    if not sentences:
        return None
    last = sentences[-1]
    inside = [_inside(content) for content in _INSIDE.findall(last)]
    start = _INSIDE.search(last)
    if "?" in inside or start is None:
        return {"?"}
    if len(set(inside)) > 1:
        found = _claims(_INSIDE.sub(lambda m: f" {_mark(_inside(m[1]))} ", last), bare=False)
        return found or {"?"}
    before, after = last[: start.start()].lower(), _INSIDE.sub(" ", last[start.end() :])
    clause = re.split(r"[,:;，：；]", before)[-1]
    if _DENIED.search(clause) and not _CONTRAST.search(clause):
        return {"?"}
    others = _claims(_INSIDE.sub(" ", after), bare=False) - set(inside)
    return {"?"} if others or _CONDITION.match(after.lower()) else set(inside)


def _inside(content: str) -> str:
    """``A``, ``tie``, or ``?`` for what is neither."""
    if _TIE_WORD.fullmatch(content):
        return "tie"
    alone = re.fullmatch(rf"\s*(?:{_WORD}\s*|回答|答案|选项|助手)?\s*([A-Za-z])\s*", content, re.IGNORECASE)
    if alone:
        return alone[1].upper()
    found = _claims(content.upper() if len(content) < 8 else content, bare=True)
    return next(iter(found)) if len(found) == 1 else "?"


def _mark(name: str) -> str:
    return f"«{name}»" if len(name) == 1 else name


def _claims(line: str, *, bare: bool) -> set[str]:
    """All that a line claims; ``bare``: a name alone is a claim too."""
    marked = _NAMED.sub(lambda m: f" «{(m[1] or m[2]).upper()}» ", line)
    marked = _ALONE.sub(r"«\1»", marked)
    marked = re.sub(r"«([A-Z])»|([^«»]+)", lambda m: m[0] if m[1] else m[0].lower(), marked)
    marked = _OWNED.sub(r"«\1»", marked)
    lone = re.fullmatch(rf"[\W_]*{_R}[\W_]*|\W*([a-z])\W*", marked)
    if lone:
        return {(lone[1] or lone[2]).upper()} if bare else set()
    sentences = [_of_sentence(part) for part in re.split(r"(?<=[.;!?。；！？])\s*", marked) if part.strip()]
    found = set().union(*(claims for claims, _ in sentences)) if sentences else set()
    if len(found) != 1:
        concluding = set().union(*(claims for claims, concludes in sentences if concludes))
        found = concluding if len(concluding) == 1 else _after_contrast(marked) or found
    return found


def _after_contrast(marked: str) -> set[str]:
    """What is claimed after the last "but"."""
    contrasts = list(_CONTRAST.finditer(marked))
    if not contrasts:
        return set()
    rest = marked[contrasts[-1].end() :]
    lone = re.fullmatch(rf"[\W_]*{_R}[\W_]*", rest)
    return {lone[1]} if lone else _of_sentence(rest)[0]


def _of_sentence(sentence: str) -> tuple[set[str], bool]:
    """The claims of a sentence, and whether it is a conclusion."""
    found: set[str] = set()
    for patterns, winner in ((_LOSES, 2), (_WINS, 1), (_TIES, 0)):
        for pattern in patterns:
            for match in re.finditer(pattern, sentence):
                if patterns is _WINS and any(re.match(lost, sentence[match.start() :]) for lost in _LOSES):
                    continue
                if _counts(sentence, match):
                    found.add(match[winner] if winner else "tie")
    if sentence.rstrip().endswith(("?", "？", "吗", "呢")):
        found = set()
    return found, bool(_CONCLUDES.search(sentence))


def _counts(sentence: str, match: re.Match[str]) -> bool:
    """Whether a claim counts: not negated, not conditional, not about one aspect, and not one of several names."""
    clause = re.split(r"[,:;.，：；。]|\bbut\b|但|不过", sentence[: match.start()])[-1]
    after = sentence[match.end() :]
    if _DENIED.search(clause) or (_CONDITION.match(sentence.lstrip()) and match.start() > 0):
        return False
    if re.search(r"(?:\bno|非|不是|比)\s*$", clause):
        return False
    if re.match(r"\s*(?:/|or\b|and\b|或|和|与|、)\s*«", after):
        return False
    return not (_CONDITION.match(after) or _ASPECT.match(after) or _ASPECT_BEFORE.search(clause))
