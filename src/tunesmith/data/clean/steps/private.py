"""``private``: personal data and secrets, masked.

What is found becomes ``<EMAIL>``, ``<PHONE>`` and so on, and the row is tagged ``masked:email``. Numbers count
only if their check digits are right (cards, bank accounts, Chinese identity numbers) or when they are written as what
they are (a phone number with its country code or separators, a key with the prefix that its maker gives it).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Literal, get_args

from pydantic import Field

from tunesmith.core.types import Conversation
from tunesmith.data.clean.step import Step, each_text, tagged

_KEYS = (
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35}|hf_[A-Za-z0-9]{30,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)
_SECRET = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_KEYS})|(?<=://)[^\s:/@]+:[^\s:/@]+(?=@)")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_IP = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]\d|\d)")
_MAY_BE_IP = re.compile(r"\d\.\d+\.\d")
_CARD = re.compile(r"(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d,-]\d|\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Za-z0-9])")
_CHINESE_ID = re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4}"
    r"|1[3-9]\d[ -]?\d{4}[ -]?\d{4})(?![\w-]|\.\d)"
)
_MAY_BE_NUMBER = re.compile(r"\d(?:[ .()-]{0,2}\d){6}")
"""Seven digits, near each other: all kinds of numbers have them."""


def luhn(text: str) -> bool:
    """Whether the last digit of a card number is right."""
    digits = [int(c) for c in text if c.isdigit()]
    if len(digits) < 13 or len(set(digits)) < 2 or digits[0] not in (2, 3, 4, 5, 6):
        return False
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Whether the check digits of a bank account are right."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def chinese_id(text: str) -> bool:
    """Whether the last place of a Chinese identity number is right."""
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def address(text: str) -> bool:
    """Whether it is the address of a machine, and not one that everybody has."""
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


Find = tuple[str, re.Pattern[str], Callable[[str], bool]]


def _always(text: str) -> bool:
    return True


_WITH_AT: tuple[Find, ...] = (("email", _EMAIL, _always),)
_NUMBERS: tuple[Find, ...] = (
    ("account", _IBAN, iban),
    ("id", _CHINESE_ID, chinese_id),
    ("card", _CARD, luhn),
    ("id", _SSN, _always),
    ("phone", _PHONE, _always),
)
_ADDRESSES: tuple[Find, ...] = (("ip", _IP, address),)
_SECRETS: tuple[Find, ...] = (("secret", _PRIVATE_KEY, _always), ("secret", _SECRET, _always))
_SIGNS = (
    "AKIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "sk-",
    "xox",
    "AIza",
    "hf_",
    "glpat-",
    "eyJ",
    "PRIVATE KEY",
    "://",
)
Kind = Literal["email", "phone", "card", "account", "id", "ip", "secret"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Private(Step):
    """Mask e-mail addresses, phone, card, account and identity numbers, machine addresses, keys and passwords."""

    kinds: list[Kind] = Field(default=list(KINDS), description="What is masked.")

    def clean(self, row: Conversation) -> Conversation | str:
        found: set[str] = set()
        clean = each_text(row, lambda text: self.masked(text, found))
        return tagged(clean, *(f"masked:{kind}" for kind in KINDS if kind in found)) if found else row

    def masked(self, text: str, found: set[str]) -> str:
        """The text without what is private; ``found`` learns what there was."""
        finds: list[Find] = []
        if any(sign in text for sign in _SIGNS):
            finds += _SECRETS
        if "@" in text:
            finds += _WITH_AT
        if _MAY_BE_NUMBER.search(text):
            finds += _NUMBERS
        if "." in text and _MAY_BE_IP.search(text):
            finds += _ADDRESSES
        for kind, pattern, right in finds:
            if kind in self.kinds:
                text = pattern.sub(lambda m: _mask(m, kind, right, found), text)  # noqa: B023 (used at once)
        return text


def _mask(match: re.Match[str], kind: str, right: Callable[[str], bool], found: set[str]) -> str:
    if not right(match.group()):
        return match.group()
    found.add(kind)
    return f"<{kind.upper()}>"
