"""Stress tests change one thing on every frame and nothing else, and count what is called a lens."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.stress import row
from benchmarks.stress_skies import Sky, exact_rate, with_artefacts, with_correlation
from lensfold.frames import BANDS
from lensfold.simulate import PROFILES
from lensfold.simulate.objects import object_streams
from lensfold.simulate.optics.artefacts import Artefacts, draw_artefacts

SEED = 3


@pytest.mark.parametrize("number", [1, 2])
def test_every_frame_has_exactly_so_many_stars(number):
    for index in range(30):
        artefacts = Artefacts(stars=exact_rate(SEED, index, number))
        marks = draw_artefacts(object_streams(SEED, "test", index).artefacts, artefacts, np.ones(4))
        assert len(marks.stars) == number


@pytest.fixture(scope="module")
def clean():
    p = PROFILES["euclid"]
    return Sky(replace(p, artefacts=Artefacts())).draw(SEED, 4)


def changed_bands(one, two) -> set[str]:
    return {band for band in BANDS if not np.array_equal(one.images[band], two.images[band])}


@pytest.mark.parametrize(
    ("name", "bands"),
    [("two long tracks", {"VIS"}), ("a spiked star of mag 15–18 within 5″", set(BANDS))],
)
def test_an_artefact_is_all_that_changes(clean, name, bands):
    marked = with_artefacts(PROFILES["euclid"])[name].draw(SEED, 4)
    assert changed_bands(clean, marked) == bands
    assert repr(marked.row) == repr(clean.row)


def test_correlation_replaces_what_varies(clean):
    p = replace(PROFILES["euclid"], artefacts=Artefacts())
    white, correlated = (with_correlation(p, lags).draw(SEED, 4) for lags in ((0.0,) * 4, (0.2, 0.4, 0.4, 0.4)))
    assert repr(white.row) == repr(correlated.row) == repr(clean.row)
    # noise in the corner, where there is little light: neighbours against pixels two apart
    for item, least, most in ((white, -0.1, 0.12), (correlated, 0.12, 0.35)):
        corner = np.diff(item.images["VIS"][:60, :60].astype(float), axis=0)
        along = np.corrcoef(corner[:, :-1].ravel(), corner[:, 1:].ravel())[0, 1]
        assert least < along < most


def test_a_row_counts_and_compares_the_same_objects():
    without = pd.Series([False] * 90 + [True] * 10)
    called = pd.Series([False] * 80 + [True] * 20)[10:]  # ten objects fewer
    text = row("stars", called, without)
    assert text == "| stars | 90 | 0.222 [0.149, 0.318] | 0.111 | +0.111 [+0.042, +0.176] |"
    assert row("none", called[:0], without) == "| none | 0 | – | – | – |"
    same = row("same", called, called)
    low, high = (float(x) for x in same.split("[")[-1].split("]")[0].split(", "))
    assert low == -high and 0.01 < high < 0.03  # nothing changed, and it is no certainty
