"""What a ranked page shows after a round of marks: nothing that has a label, what is new, what climbed."""

from dataclasses import replace
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


def test_what_would_teach_most_is_tagged_in_the_first_list_and_listed_beyond_it():
    one = replace(ranking(ON_PAGE + 9, {}, {ON_PAGE + 3: 9_000}), teach=pd.DataFrame({"ID": [ON_PAGE + 3, 5]}))
    lists = _lists(one)
    assert [one["key"] for one in lists] == ["ranked", "teach"]  # what climbed is not shown twice
    assert [card.id for card in lists[0]["cards"] if card.tag == "teaches"] == [5]
    assert [card.id for card in lists[1]["cards"]] == [ON_PAGE + 3]
    assert "the 2 of teach.csv, but for 1" in lists[1]["about"]
