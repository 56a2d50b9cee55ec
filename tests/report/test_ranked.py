"""What a ranked page shows after a round of marks: nothing that has a label, what is new, what climbed."""

from pathlib import Path

import numpy as np
import pandas as pd

from lensfold.report.ranked import MOVED, ON_PAGE, Ranking, _lists


def ranking(count: int, label: dict[int, float], before: dict[int, int]) -> Ranking:
    """Objects 1 to ``count`` in their order, with labels and earlier ranks by ID."""
    ids = np.arange(1, count + 1)
    table = pd.DataFrame(
        {"rank": pd.array(ids, "Int64"), "score": 1 / ids, "name": ids.astype(str), "ra": 1.0, "dec": 2.0, "flags": "",
         "label": [label.get(i, np.nan) for i in ids], "ID": ids,
         "before": pd.array([before.get(i) for i in ids], "Int64")}
    )  # fmt: skip
    return Ranking("p", table, Path("ranked.csv"), "run r", (), "", 0, Path("skipped.csv"), False)


def test_what_is_labelled_is_left_out_and_the_next_moves_up():
    lists = _lists(ranking(ON_PAGE + 5, {1: 1.0, 3: 0.5}, {}))
    assert [one["key"] for one in lists] == ["ranked"]
    cards = lists[0]["cards"]
    assert [card.id for card in cards] == [2, *range(4, ON_PAGE + 3)] and cards[0].title == "2. 2"
    assert lists[0]["about"].startswith(f"2 have a label and are left out. The first {ON_PAGE} of {ON_PAGE + 3}")


def test_what_is_new_in_the_first_is_marked_and_what_climbed_beyond_is_listed():
    beyond = {i: i * (2 + i % 50) for i in range(ON_PAGE + 1, ON_PAGE + 101)}
    lists = _lists(ranking(ON_PAGE + 200, {}, {1: 1, 2: 5_000, 3: ON_PAGE, **beyond, ON_PAGE + 150: 10}))
    cards = {card.id: card for card in lists[0]["cards"]}
    assert [cards[i].tag for i in (1, 2, 3, 4)] == ["", "new", "", ""]
    assert cards[2].aside == "before: 5,000" and cards[4].aside == ""
    moved = [card.id for card in lists[1]["cards"]]
    assert len(moved) == MOVED and moved[:2] == [249, 299] and ON_PAGE + 150 not in moved
