"""Artefacts: none by default, rates kept, every kind seen on the bands it belongs to."""

from dataclasses import replace

import numpy as np
import pytest

from lensfold.data.bad_pixels import mended
from lensfold.frames import BANDS
from lensfold.simulate import get_population, simulate_object
from lensfold.simulate.objects import object_streams
from lensfold.simulate.optics.artefacts import WIDE_SURVEY, Artefacts, Marks, draw_artefacts
from lensfold.simulate.optics.light_kernels import FLUX, KIND, POINT, X, Y

SIGMA = np.array([4e-13, 5e-12, 4e-12, 4e-12])
SHAPES = ((200, 200), (66, 66), (66, 66), (66, 66))


def drawn(a: Artefacts, n: int = 40) -> list[Marks]:
    return [draw_artefacts(np.random.default_rng(k), a, SIGMA) for k in range(n)]


def bands(marks: list[Marks]) -> set[int]:
    """Return the bands that got any light."""
    return {band for item in marks for band, image in enumerate(item.light) if image is not None and image.any()}


def test_none_by_default_and_no_number_is_drawn():
    rng = np.random.default_rng(1)
    marks = draw_artefacts(rng, Artefacts(), SIGMA)
    assert marks.light == marks.blank == (None,) * 4 and len(marks.stars) == 0
    assert rng.random() == np.random.default_rng(1).random()


def test_an_object_has_its_own_whatever_was_drawn_before():
    for a, b in zip(drawn(WIDE_SURVEY, 5), drawn(WIDE_SURVEY, 5), strict=True):
        np.testing.assert_array_equal(a.stars, b.stars)
        for one, other in zip(a.light, b.light, strict=True):
            assert one is not None and other is not None
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("stars", {0, 1, 2, 3}),
        ("ghosts", {0, 1, 2, 3}),
        ("tracks", {0}),
        ("hot_pixels", {1, 2, 3}),
        ("persistence", {1, 2, 3}),
    ],
)
def test_each_kind_is_on_its_bands_and_as_frequent_as_asked(kind, seen):
    marks = drawn(replace(Artefacts(), **{kind: 1.0}), 200)
    touched = [any(image is not None for image in item.light) for item in marks]
    assert np.mean(touched) == pytest.approx(1 - np.exp(-1), abs=0.12)  # 3.5 standard errors
    assert bands(marks) == seen
    for item in marks:
        for image, shape in zip(item.light, SHAPES, strict=True):
            assert image is None or (image.shape == shape and image.dtype == np.float32 and np.isfinite(image).all())


def test_a_stars_light_is_kept_and_its_spikes_point_in_six_directions():
    """Core, spikes and halo share the star's flux; on a circle about it there are six maxima of the same spacing."""
    a = replace(
        Artefacts(), stars=1.0, star_mag=(15.0, 15.001), star_colour=(0.0, 0.0), star_reach=0.5, spike_lines=(3,),
        spike_share=(0.01, 0.01), halo_share=(0.02, 0.02),
    )  # fmt: skip
    marks = next(item for item in drawn(a) if len(item.stars) == 1)
    star, image = marks.stars[0], marks.light[0]
    assert star[KIND] == POINT
    assert star[FLUX] == pytest.approx((1 - 3 * 0.01 - 0.02) * 10 ** (-0.4 * 15), rel=1e-3)
    assert 0.5 < image.sum(dtype=float) / (0.05 * 10 ** (-0.4 * 15)) < 1  # the frame cuts both
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    columns, rows = (np.rint(star[k] / 0.1 + 99.5 + 40 * f(angle)).astype(int) for k, f in ((X, np.cos), (Y, np.sin)))
    on_circle = image[rows, columns].astype(float)
    power = np.abs(np.fft.rfft(on_circle - on_circle.mean()))[1:13]
    assert 1 + np.argmax(power) == 6


def test_tracks_have_the_level_that_was_drawn():
    a = replace(Artefacts(), tracks=1.0, track_level=(50.0, 50.0), track_long_share=1.0, track_length=((1, 1), (8, 8)))
    peaks = [item.light[0].max() / SIGMA[0] for item in drawn(a) if item.light[0] is not None]
    assert np.median(peaks) == pytest.approx(75, rel=0.5)  # uneven along the track, and two may cross


def test_the_sky_slopes_by_what_was_drawn():
    a = replace(Artefacts(), sky_offset=(0.2, 0.2), sky_gradient=(0.5, 0.5))
    for image, sigma in zip(drawn(a, 1)[0].light, SIGMA, strict=True):
        assert image.mean(dtype=float) == pytest.approx(0.2 * sigma, rel=1e-3)
        across, down = image[0, -1] - image[0, 0], image[-1, 0] - image[0, 0]
        assert np.hypot(across, down) == pytest.approx(0.5 * sigma, rel=1e-3)


def test_blank_strips_can_be_mended():
    """A strip that the reader refused would make every simulated pack unusable."""
    marks = drawn(replace(Artefacts(), blank_share=1.0))
    assert {tuple(strip is not None for strip in item.blank) for item in marks} == {
        (True,) * 4, (True, False, False, False), (False, True, True, True),
    }  # fmt: skip
    for k, item in enumerate(marks):
        for strip, shape in zip(item.blank, SHAPES, strict=True):
            if strip is not None:
                image = np.random.default_rng(k).standard_normal(shape, dtype=np.float32)
                image[strip] = 0
                repaired, count = mended(image)
                assert count >= shape[0] and np.isfinite(repaired).all()


CROWDED = replace(
    get_population("challenge"),
    artefacts=replace(WIDE_SURVEY, stars=2.0, ghosts=1.0, tracks=2.0, hot_pixels=2.0, persistence=1.0, blank_share=1.0),
    flux_per_electron=(0.0,) * 4,
    noise_correlation=(0.19, 0.40, 0.37, 0.40),
)


def test_artefacts_and_correlated_noise_are_the_same_with_and_without_the_source():
    """A pair differs by the source's light alone, so that nothing here tells a lens from a non-lens."""
    clean = replace(CROWDED, artefacts=Artefacts(), noise_correlation=(0.0,) * 4)
    for k in range(3):
        crowded, quiet = (
            [simulate_object(p, 4, "train", k, with_source=put).images for put in (True, False)]
            for p in (CROWDED, clean)
        )
        for band in BANDS:
            blank = crowded[0][band] == 0
            assert blank.any(axis=0).all() or blank.any(axis=1).all() or not blank.any()
            np.testing.assert_array_equal(blank, crowded[1][band] == 0)
            light = quiet[0][band].astype(float) - quiet[1][band]
            found = crowded[0][band].astype(float) - crowded[1][band]
            rounding = 2e-6 * np.abs(crowded[0][band]).max()
            assert np.abs(found - light)[~blank].max() < 1e-3 * light.max() + rounding


def test_artefacts_are_on_the_frame_and_the_zero_point_dims_all_light():
    faint = replace(CROWDED, sigma=((1e-20, 1e-20),) * 4, artefacts=replace(CROWDED.artefacts, blank_share=0.0))
    marks = draw_artefacts(object_streams(4, "train", 0).artefacts, faint.artefacts, np.full(4, 1e-20))
    assert len(marks.stars)
    image, dimmer, plain = (
        simulate_object(p, 4, "train", 0).images["VIS"]
        for p in (faint, replace(faint, zero_point_error=(0.5, 0.0, 0.0, 0.0)), replace(faint, artefacts=Artefacts()))
    )
    assert marks.light[0] is not None and (image - plain >= 0.99 * marks.light[0] - 2e-6 * image.max()).all()
    np.testing.assert_allclose(dimmer, image * 10 ** (-0.2), rtol=1e-4, atol=1e-18)
