"""What a searcher gets (`scoring/prevalence.py`) in words and in numbers for tables.

A number that the test cannot resolve is written as the limit that it is: "≥ 0.09", "< 0.0015", never 1 or 0.
"""

from collections.abc import Callable, Mapping, Sequence

from lensfold.runs.scores import Score, Searcher

#: a number's name, its value, and its interval or "": as tables show it
Number = tuple[str, str, str]


def searcher_of(row: Mapping) -> Searcher | None:
    """Return the searcher's scores of a row of scores; None where it has none, as Einstein radii and older scores."""
    found = row.get("searcher")
    return Searcher.model_validate(found) if found else None


def prevalence_text(prevalence: float) -> str:
    """Return a prevalence in words: 1 lens in 2,000."""
    among = 1 / prevalence
    return f"1 lens in {among:,.0f}" if among >= 10 else f"1 lens in {among:.3g}"


def numbers(searcher: Searcher) -> list[Number]:
    """Return every number with its name and interval: of the first objects, then of the recalls."""
    found = []
    for row in searcher.first:
        least = f"≥ {_share(row.purity.low)}", f"≥ {_share(row.completeness.low)}"
        for name, score, limit in zip(("purity", "completeness"), (row.purity, row.completeness), least, strict=True):
            value, limits = (limit, "") if row.is_limit else (_share(score.value), _limits(score, _share))
            found.append((f"{name}, first {row.n:,}", value, limits))
    for one in searcher.recalls:
        for name, score, write, sign in (
            ("to inspect", one.inspect, _count, "≤"),
            ("false-positive rate", one.false_rate, _rate, "<"),
        ):
            value, limits = (
                (f"{sign} {write(score.high)}", "") if one.is_limit else (write(score.value), _limits(score, write))
            )
            found.append((f"{name}, recall {_percent(one.recall)} %", value, limits))
    return found


def heading(searchers: Sequence[Searcher]) -> str:
    """Return what the numbers are of, where they are of one prevalence: with 1 lens in 2,000, of 100,000 objects."""
    shares = {(one.prevalence, one.objects) for one in searchers}
    if len(shares) > 1:
        return "at several prevalences"
    prevalence, objects = shares.pop()
    return f"with {prevalence_text(prevalence)}, of {objects:,} objects"


def sentence(searcher: Searcher) -> str:
    """Return the outcome in one sentence; limits, where no false positive is left, are called so."""
    parts = []
    for row in searcher.first:
        purity = f"{_share(row.purity.low)} or more" if row.is_limit else _share(row.purity.value)
        found = f"at least {_percent(row.completeness.low)} %" if row.is_limit else _percents(row.completeness)
        parts.append(f"the first {row.n:,} hold {found} of the lenses (purity {purity})")
    costs = []
    for one in searcher.recalls:
        looks = f"at most {_count(one.inspect.high)}" if one.is_limit else _with_limits(one.inspect)
        costs.append(f"{_percent(one.recall)} % of all lenses cost {looks}")
    limit = any(row.is_limit for row in searcher.first) or any(one.is_limit for one in searcher.recalls)
    why = f" Limits: no false positive was left in a test of {searcher.n_others:,} non-lenses." if limit else ""
    start = heading([searcher])
    return f"{start[0].upper()}{start[1:]}, {', '.join(parts)}; {', '.join(costs)} looks.{why}"


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}" if value >= 0.01 else f"{value:.2g}"


def _rate(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"


def _count(value: float | None) -> str:
    return "?" if value is None else f"{float(f'{value:.3g}'):,.0f}"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.0f}"


def _percents(score: Score) -> str:
    limits = "" if score.low is None else f" ({_percent(score.low)}–{_percent(score.high)})"
    return f"{_percent(score.value)} %{limits}"


def _with_limits(score: Score) -> str:
    limits = _limits(score, _count)
    return _count(score.value) + (f" ({limits})" if limits else "")


def _limits(score: Score, write: Callable[[float | None], str]) -> str:
    return "" if score.low is None or score.high is None else f"{write(score.low)}–{write(score.high)}"
