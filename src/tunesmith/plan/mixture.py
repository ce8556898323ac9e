"""How often each task is drawn: from the number of its rows to its share of the draws.

    proportional   by number of rows, none counted above ``cap`` (examples-proportional mixing, T5 and FLAN)
    temperature    that, to the power 1/T: 1 is proportional, and the higher the more alike
    fixed          ``shares`` as given

``balance`` gives every cluster the same share first, ``with_parts`` some the parts they shall have. ``quotas`` makes
whole numbers of shares, and ``epochs`` says in plain words how often each row of each task is then seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunesmith.core.errors import DataError, near
from tunesmith.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rates may ask for."""

    cap: int | None = None
    temperature: float = 2.0
    shares: Mapping[str, float] | None = None


Rates = Callable[[Mapping[str, int], Settings], dict[str, float]]
RATES: Registry[Rates] = Registry("Mixture rates")


def rates(
    kind: str,
    counts: Mapping[str, int],
    *,
    cap: int | None = None,
    temperature: float = 2.0,
    shares: Mapping[str, float] | None = None,
    balance: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The share of each name; they add up to one. ``balance`` maps names to clusters that all weigh the same."""
    empty = sorted(name for name, count in counts.items() if count <= 0)
    if not counts or empty:
        raise DataError(f"A mixture needs rows; none for: {', '.join(empty) or 'anything'}.")
    weights = RATES[kind](counts, Settings(cap, temperature, shares or None))
    if balance is None:
        return _normal(weights)
    lost = sorted(set(weights) - set(balance))
    if lost:
        raise DataError(f"No cluster is given for {', '.join(lost)}.")
    totals: dict[str, float] = {}
    for name, weight in weights.items():
        totals[balance[name]] = totals.get(balance[name], 0.0) + weight
    return _normal({n: w / totals[balance[n]] if w else 0.0 for n, w in weights.items()})


def with_parts(
    shares: Mapping[str, float], clusters: Mapping[str, str], parts: Mapping[str, float]
) -> dict[str, float]:
    """Shares in which whole clusters have the parts given; the others divide what is left as they did before."""
    known = {clusters[name] for name in shares}
    problems = [f"{name!r} is no cluster of the mixture{near(name, known)}" for name in parts if name not in known]
    problems += [f"{name!r} has part {part}, wanted from 0 to 1" for name, part in parts.items() if not 0 <= part <= 1]
    left = 1 - sum(parts.values())
    others = sum(share for name, share in shares.items() if clusters[name] not in parts)
    if not problems and (left < -1e-9 or (left > 1e-9 and not others) or (left < 1e-9 and others)):
        problems.append(f"the parts add up to {1 - left:g}, and there are {'' if others else 'no '}others beside them")
    if problems:
        raise DataError("The parts of the mixture do not fit:\n" + "\n".join(problems))
    totals: dict[str, float] = {}
    for name, share in shares.items():
        totals[clusters[name]] = totals.get(clusters[name], 0.0) + share
    return {
        name: share * parts[clusters[name]] / totals[clusters[name]]
        if clusters[name] in parts
        else share * left / others
        for name, share in shares.items()
    }


@RATES.add("proportional")
def proportional(counts: Mapping[str, int], settings: Settings) -> dict[str, float]:
    """By rows, none counted above the cap."""
    _refuse_shares("proportional", settings)
    return _capped(counts, settings.cap)


@RATES.add("temperature")
def tempered(counts: Mapping[str, int], settings: Settings) -> dict[str, float]:
    """The capped counts to the power 1/T."""
    _refuse_shares("temperature", settings)
    if settings.temperature <= 0:
        raise DataError(f"The temperature of a mixture is {settings.temperature}, wanted above 0.")
    capped = _capped(counts, settings.cap)
    largest = max(capped.values())  # so that a low temperature does not overflow
    return {name: (count / largest) ** (1 / settings.temperature) for name, count in capped.items()}


@RATES.add("fixed")
def fixed(counts: Mapping[str, int], settings: Settings) -> dict[str, float]:
    """The shares as given, one for each name."""
    shares = dict(settings.shares or {})
    problems = [f"{name!r} is not in the mixture{near(name, counts)}" for name in shares if name not in counts]
    problems += [f"{name!r} has no share; 0 leaves it out" for name in counts if name not in shares]
    problems += [f"{name!r} has share {s}, wanted 0 or more" for name, s in shares.items() if not 0 <= s < float("inf")]
    if settings.cap is not None:
        problems.append("a cap has no meaning with fixed shares")
    if not problems and sum(shares.values()) <= 0:
        problems.append("all shares are 0")
    if problems:
        raise DataError("The shares of the mixture do not fit:\n" + "\n".join(problems))
    return shares


def quotas(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that add up to ``total``, by largest remainder (ties by name): each is within one of exact."""
    if total < 0:
        raise DataError(f"A quota of {total} rows cannot be drawn.")
    exact = {name: share * total for name, share in _normal(shares).items()}
    found = {name: int(value) for name, value in exact.items()}
    left = total - sum(found.values())
    for name in sorted(exact, key=lambda name: (found[name] - exact[name], name))[:left]:
        found[name] += 1
    return found


@dataclass(frozen=True, slots=True)
class Epochs:
    """How often the rows of one set are seen."""

    name: str
    rows: int
    share: float
    draws: int
    epochs: float

    def __str__(self) -> str:
        if not self.draws:
            how = "is not seen"
        elif self.epochs >= 1:
            how = f"is seen {self.epochs:.1f} times"
        else:
            how = f"is seen in part: {self.draws} of {self.rows} rows, once"
        return f"{self.name}: {self.rows} rows, {self.share:.1%} of the draws ({self.draws}); it {how}."


def epochs(counts: Mapping[str, int], shares: Mapping[str, float], draws: int) -> list[Epochs]:
    """What a run of so many draws sees of each set, the most repeated first; ``str`` of a line is a sentence."""
    drawn = quotas(shares, draws)
    normal = _normal(shares)
    found = [Epochs(n, counts[n], normal[n], drawn[n], drawn[n] / counts[n]) for n in shares]
    return sorted(found, key=lambda line: (-line.epochs, line.name))


def table(lines: list[Epochs]) -> str:
    """The sentences, and what they say together."""
    rows, draws = sum(line.rows for line in lines), sum(line.draws for line in lines)
    total = f"Together: {draws} draws from {rows} rows, {draws / rows:.1f} times on average."
    return "\n".join([*map(str, lines), total])


def _capped(counts: Mapping[str, int], cap: int | None) -> dict[str, float]:
    if cap is not None and cap < 1:
        raise DataError(f"The cap of a mixture is {cap}, wanted 1 or more.")
    return {name: float(count if cap is None else min(count, cap)) for name, count in counts.items()}


def _refuse_shares(kind: str, settings: Settings) -> None:
    if settings.shares:
        raise DataError(f"`shares` are given, but the rates are {kind!r}; write `rates: fixed`, or take them away.")


def _normal(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
