"""Pictures are PNGs of the promised size that show the pixels as they are, whatever the pixels are."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes.catalog import REAL_EINSTEIN_RADII, REAL_FIRST_ROWS, fake_catalog
from fakes.pack import SIGMA, fake_images, write_pack
from fakes.workspace import environment
from PIL import Image

from lensfold.data.cache import Cache, central
from lensfold.data.cache_build import Build, build_cache
from lensfold.data.catalog import SIZE_BINS, read_catalog
from lensfold.errors import InputError
from lensfold.frames import BAND_SHAPES, BANDS, band_shapes
from lensfold.report import pictures
from lensfold.report.canvas import MARGIN
from lensfold.report.gallery import draw
from lensfold.report.pictures import (
    TOP,
    Album,
    before_after,
    contact_sheet,
    look,
    object_facts,
    object_sheet,
    show_objects,
    size_histogram,
)
from lensfold.report.stretch import NO_DATA, colour, grey

SHEET_SIZE = (1728, 1162)
AWKWARD = "a $b_c$ <d> & \\frac{1}{2} 50% \u03b8 \u4e2d \n #1"


def pixels(path):
    """Pixels of a PNG, uint8 (height, width, 3)."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def size(path):
    """(width, height) of a PNG."""
    height, width, _ = pixels(path).shape
    return width, height


def constant(value):
    """Four frames of one value."""
    return {band: np.full(shape, value, dtype=np.float32) for band, shape in BAND_SHAPES.items()}


def is_magenta(shown):
    """Where a picture says that there is no data."""
    return np.all(shown == NO_DATA, axis=-1)


@pytest.fixture
def images():
    return fake_images(np.random.default_rng(1), True)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    pack = write_pack(tmp_path_factory.mktemp("pictures") / "fake", n_train=40, n_test=1)
    build_cache(pack.folder / "train", Build(pack.folder / "cache"))
    catalog = read_catalog(pack.catalog)
    with Cache(pack.folder / "cache") as cache:
        yield Album(cache, "fake, train", catalog, synthetic=True)


def test_pictures_of_ten_arcsec_are_as_large(images, tmp_path):
    small = {band: central(image, band_shapes(100)[band][0]) for band, image in images.items()}
    object_sheet(tmp_path / "sheet.png", small, SIGMA, "small", {})
    assert size(tmp_path / "sheet.png") == SHEET_SIZE
    sheet = pixels(tmp_path / "sheet.png")[TOP : TOP + 600, 24:624]
    np.testing.assert_array_equal(sheet[3::6, 3::6][:90], grey(small["VIS"], SIGMA["VIS"], "VIS")[::-1][:90])
    for name, shown in (("small", small), ("large", images)):
        contact_sheet(tmp_path / f"{name}.png", {"": [(shown, "")] * 3}, SIGMA, "sheet")
        draw(tmp_path / f"{name}.jpg", shown, SIGMA)
        with Image.open(tmp_path / f"{name}.jpg") as picture:
            assert picture.size == (400, 400)
    assert size(tmp_path / "small.png") == size(tmp_path / "large.png")


# ---- one object


def test_object_sheet_shows_each_pixel_enlarged_and_not_interpolated(tmp_path, images):
    object_sheet(tmp_path / "a.png", images, SIGMA, "title", {"mag_eff": "2.35"})
    shown = pixels(tmp_path / "a.png")
    assert size(tmp_path / "a.png") == SHEET_SIZE
    expected = grey(images["VIS"], SIGMA["VIS"], "VIS")[::-1].repeat(3, axis=0).repeat(3, axis=1)
    top, left = TOP, MARGIN
    np.testing.assert_array_equal(shown[top : top + 500, left : left + 600], expected[:500])
    composite = colour(images, SIGMA)[::-1].repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(shown[top : top + 500, left + 620 : left + 1220], composite[:500])


def test_a_lens_looks_different_from_the_same_galaxy_without_one(tmp_path):
    for name, is_lens in (("lens", True), ("none", False)):
        object_sheet(
            tmp_path / f"{name}.png", fake_images(np.random.default_rng(1), is_lens), SIGMA, "title", {"ID": "1"}
        )
    differs = np.any(pixels(tmp_path / "lens.png") != pixels(tmp_path / "none.png"), axis=-1)
    left, top = MARGIN + 300, TOP + 300
    y, x = np.nonzero(differs[TOP : TOP + 600, MARGIN : MARGIN + 600])
    radius = np.hypot(x + MARGIN - left, y + TOP - top) / 30
    assert np.sum((radius > 1.7) & (radius < 2.3)) > 5000
    assert not differs[: TOP - 30].any()


def test_the_stretch_is_the_same_for_every_object(images):
    brighter = images["VIS"].copy()
    brighter[100, 100] *= 1000
    same = grey(images["VIS"], SIGMA["VIS"], "VIS") == grey(brighter, SIGMA["VIS"], "VIS")
    assert same.sum() >= same.size - 3
    levels = grey(np.array([[-9.0, -2, 0, 1, 5, 50, 250, 1e9]]) * SIGMA["VIS"], SIGMA["VIS"], "VIS")[0, :, 0].astype(
        int
    )
    assert levels[0] == levels[1] == 0
    assert levels[-1] == levels[-2] == 255
    assert np.all(np.diff(levels[1:-1]) > 10)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1e-9, 1e-3])
@pytest.mark.parametrize("sigma", [SIGMA, dict.fromkeys(BANDS, 0.0)])
def test_frames_of_one_value_are_drawn(tmp_path, value, sigma):
    object_sheet(tmp_path / "a.png", constant(value), sigma, "title", {})
    assert size(tmp_path / "a.png") == SHEET_SIZE
    assert is_magenta(pixels(tmp_path / "a.png")).any() == (not np.isfinite(value))


def test_pixels_without_data_are_magenta_in_their_band_and_in_the_composite(images):
    images["VIS"][10, 20] = np.nan
    images["J"][40, 40] = np.inf
    assert np.argwhere(is_magenta(grey(images["VIS"], SIGMA["VIS"], "VIS"))).tolist() == [[10, 20]]
    bad = is_magenta(colour(images, SIGMA))
    assert bad[10, 20]
    assert bad[121:124, 121:124].all()
    assert bad.sum() < 40


def test_a_single_bright_pixel_is_seen_in_all_bands():
    images = constant(0.0)
    images["VIS"][7, 9] = 50 * SIGMA["VIS"]
    shown = grey(images["VIS"], SIGMA["VIS"], "VIS")[..., 0]
    assert np.argwhere(shown > shown[0, 0]).tolist() == [[7, 9]]
    blue = colour(images, SIGMA)[7, 9].astype(int)
    assert blue[2] > blue[1] >= blue[0]


def test_colour_of_what_bands_there_are(images):
    """VIS alone is grey, as in its own picture; a single NISP band stands for the others."""
    lacking = images | {band: np.full_like(images[band], np.nan) for band in ("Y", "H")}
    alone = colour(lacking, {"VIS": SIGMA["VIS"]})
    np.testing.assert_array_equal(alone, grey(images["VIS"], SIGMA["VIS"], "VIS"))
    some = {band: SIGMA[band] for band in ("VIS", "J")}
    same = dict.fromkeys(("Y", "J", "H"), images["J"])
    np.testing.assert_array_equal(
        colour(lacking, some), colour(images | same, SIGMA | dict.fromkeys(("Y", "J", "H"), SIGMA["J"]))
    )


def test_typical_colours_are_neither_white_nor_black():
    """An early-type galaxy at redshift 0.7 is three magnitudes brighter in H than in VIS, a young source half a one."""
    vis = 20 * SIGMA["VIS"]
    for magnitudes, order in (((3.0, 2.2), (0, 1, 2)), ((0.3, 0.2), (2, 1, 0))):
        images = constant(vis)
        for band, brighter in (("H", magnitudes[0]), ("J", magnitudes[1]), ("Y", magnitudes[1])):
            images[band][:] = 9 * vis * 10 ** (0.4 * brighter)
        shown = colour(images, SIGMA)[100, 100]
        assert shown[order[0]] > shown[order[2]]
        assert shown.max() > 90
        assert 40 < shown.min() < 225


@pytest.mark.parametrize("text", [AWKWARD, "", "long " * 200])
def test_any_text_can_be_a_title(tmp_path, images, text):
    object_sheet(tmp_path / "a.png", images, SIGMA, text, {text[:40]: text, "$": "$x_$"})
    contact_sheet(tmp_path / "b.png", {text: [(images, text)]}, SIGMA, text)
    size_histogram(tmp_path / "c.png", [1, 2], text)
    before_after(tmp_path / "d.png", {}, {"VIS": (images["VIS"], 0.1)}, text)
    assert size(tmp_path / "a.png") == SHEET_SIZE


def test_many_facts_make_a_longer_page(tmp_path, images):
    object_sheet(tmp_path / "a.png", images, SIGMA, "title", {f"fact {n}": str(n) for n in range(60)})
    width, height = size(tmp_path / "a.png")
    assert (width, height) == (SHEET_SIZE[0], TOP + 60 * 38 + 200)


def test_simulated_objects_say_so(tmp_path, images):
    for synthetic in (True, False):
        object_sheet(tmp_path / f"{synthetic}.png", images, SIGMA, "title", {}, synthetic)
    differs = np.any(pixels(tmp_path / "True.png") != pixels(tmp_path / "False.png"), axis=-1)
    rows, columns = np.nonzero(differs)
    assert len(rows) > 500
    assert rows.max() < 60
    assert columns.min() > 1300


def test_a_long_title_leaves_the_word_alone(tmp_path, images):
    for name, title in (("short", "a"), ("long", "W" * 400)):
        contact_sheet(tmp_path / name, {"": [(images, title)]}, SIGMA, title, True)
    short, long = pixels(tmp_path / "short"), pixels(tmp_path / "long")
    np.testing.assert_array_equal(short[:60, -200:], long[:60, -200:])
    np.testing.assert_array_equal(short[:, 440:][60:], long[:, 440:][60:])
    assert np.any(short != long)


def test_the_same_object_gives_the_same_file(tmp_path, images):
    for name in "ab":
        object_sheet(tmp_path / name, images, SIGMA, "title", {"a": "b"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_place_that_cannot_be_written_is_named(tmp_path, images):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        object_sheet(tmp_path / "file" / "a.png", images, SIGMA, "title", {})


# ---- many objects


@pytest.mark.parametrize(("count", "expected"), [(1, (860, 330)), (8, (3332, 330)), (9, (3332, 564))])
def test_contact_sheet_grows_with_its_objects(tmp_path, images, count, expected):
    contact_sheet(tmp_path / "a.png", {"": [(images, "caption")] * count}, SIGMA, "title")
    assert size(tmp_path / "a.png") == expected


def test_headings_take_room_and_empty_groups_take_none(tmp_path, images):
    rows = {"large": [(images, "")] * 3, "small": [], "none": [(images, "")]}
    contact_sheet(tmp_path / "a.png", rows, SIGMA, "title", columns=2)
    assert size(tmp_path / "a.png") == (860, 96 + 3 * 234 + 2 * 32)


def test_contact_sheet_survives_frames_without_data(tmp_path, images):
    rows = {"": [(constant(np.nan), "NaN"), (constant(0.0), "zero"), (images, "lens")]}
    contact_sheet(tmp_path / "a.png", rows, SIGMA, "title")
    magenta = is_magenta(pixels(tmp_path / "a.png"))
    assert magenta[:, :430].sum() > 70000
    assert not magenta[:, 430:].any()


# ---- sizes


@pytest.mark.parametrize(
    "sizes", [[], [0, 0, 0], [0], [1], [20, 21, 40, 41, 70, 71, 150, 151, 300, 301], [40000, 0], np.arange(5000)]
)
def test_histogram_of_any_sizes(tmp_path, sizes):
    size_histogram(tmp_path / "a.png", sizes, "title")
    assert size(tmp_path / "a.png") == (1500, 740)


def test_histogram_differs_with_and_without_lenses(tmp_path):
    size_histogram(tmp_path / "a.png", [0] * 10 + [100] * 10, "title")
    size_histogram(tmp_path / "b.png", [0] * 20, "title")
    assert np.any(pixels(tmp_path / "a.png") != pixels(tmp_path / "b.png"))


@pytest.mark.parametrize("largest", [0, 1, 999, 1000, 1001, 40000, 1234.5])
def test_bars_hold_whole_sizes_and_never_straddle_two_size_bins(largest):
    edges = pictures._size_edges(largest)
    assert np.all(np.diff(edges) >= 1)
    assert edges[0] == 0.5
    assert edges[-1] > max(largest, 1000)
    assert {border + 0.5 for border in SIZE_BINS} <= set(edges)


def test_counts_above_the_bins_are_those_of_the_project(tmp_path, monkeypatch):
    written = []
    plot = pictures.Axes.text
    monkeypatch.setattr(
        pictures.Axes, "text", lambda self, x, y, s, **kw: written.append(s) or plot(self, x, y, s, **kw)
    )
    size_histogram(tmp_path / "a.png", [0, 0, 20, 21, 40, 40, 41, 71, 151, 301, 5000], "title")
    assert [text.split("\n") for text in written] == [
        ["size bin", "objects"], ["<=20", "3 (2 of them 0)"], ["21-40", "3"], ["41-70", "1"], ["71-150", "1"],
        ["151-300", "1"], [">300", "2"],
    ]  # fmt: skip


# ---- before and after an import


def test_before_after_takes_any_sizes(tmp_path, images):
    before = {
        "VIS": (np.full((301, 250), np.nan), 0.1),
        "Y": (np.zeros((1, 1), dtype=np.float32), 0.3),
        "J": (np.random.default_rng(0).normal(0, SIGMA["J"] / 9, (300, 300)), 0.1),
    }
    after = {band: (image, 0.1 if band == "VIS" else 0.3) for band, image in images.items()}
    before_after(tmp_path / "a.png", before, after, "object $1$", synthetic=True)
    assert size(tmp_path / "a.png") == (1740, 970)
    assert is_magenta(pixels(tmp_path / "a.png")).sum() > 80000


def test_before_after_of_frames_without_noise_or_data(tmp_path):
    after = {band: (image, 0.3) for band, image in constant(0.0).items()}
    after["Y"] = (constant(np.nan)["Y"], 0.3)
    before_after(tmp_path / "a.png", after, after, "nothing")
    assert is_magenta(pixels(tmp_path / "a.png")).sum() > 200000


def test_input_and_output_share_a_stretch_of_surface_brightness(tmp_path):
    """The same sky in pixels of another size looks the same; blank strips do not change the noise unit."""
    sky = np.random.default_rng(0).normal(0, 1, (66, 66))
    sky[:, :40] = 0
    fine = (sky / 9).repeat(3, axis=0).repeat(3, axis=1)
    before_after(tmp_path / "a.png", {"H": (fine, 0.1)}, {"H": (sky, 0.3)}, "title")
    shown = pixels(tmp_path / "a.png")
    upper, lower = shown[132:488, 72:428], shown[562:918, 72:428]
    assert np.mean(np.any(upper != lower, axis=-1)) < 0.02
    assert upper.astype(float).std() > 8


# ---- from a cache


def test_show_objects_writes_a_sheet_of_each_and_one_of_all(album, tmp_path):
    paths = show_objects(album, [200003, 200001], tmp_path / "new")
    assert [path.name for path in paths] == ["200003.png", "200001.png", "contact-1.png"]
    assert size(paths[0])[0] == SHEET_SIZE[0]
    assert size(paths[2]) == (860, 330)
    assert [path.name for path in show_objects(album, [200001], tmp_path)] == ["200001.png"]


def test_unknown_objects_are_named(album):
    for word in ("123", "galaxy"):
        with pytest.raises(InputError, match=rf"{word} is not in .*: it has 40 objects: 200001, 200002, 200003, "):
            album.ids_of(["200001", word])


def test_a_refused_object_says_why(album):
    album.cache.manifest["refused"]["77"] = "its VIS file is empty"
    with pytest.raises(InputError, match=r"77 is not in .*: its VIS file is empty"):
        album.ids_of(["77"])


def test_objects_are_called_by_their_names(album):
    names = {
        "name": ["twice", "twice", "200001"],
        "ra": 10.0,
        "dec": -3.5,
        "flags": ["", "", "noise 3 times the usual"],
    }
    named = Album(album.cache, "mine", objects=pd.DataFrame(names, index=[200001, 200002, 200003]))
    assert named.ids_of(["twice", "200003"]) == [200001, 200002, 200003]
    assert named.ids_of(["200001"]) == [200003]  # a name, whatever it looks like
    assert named.title_of(200002) == "twice" and named.title_of(200004) == "200004"
    facts = object_facts(named, 200003)
    assert (facts["name"], facts["RA, Dec"]) == ("200001", "10.00000 -3.50000")
    assert facts["flags"] == "noise 3 times the usual" and "flags" not in object_facts(named, 200001)


def test_facts_are_those_of_the_catalog(album, monkeypatch):
    catalog = fake_catalog(5)
    for object_id, values in REAL_FIRST_ROWS.items():
        catalog.loc[object_id, list(values)] = list(values.values())
    catalog.loc[200001, ["n_pix_source", "n_source_im"]] = [312, 2]
    monkeypatch.setitem(album.cache.manifest, "repaired", {"200001": {"VIS": 12, "H": 3}})
    known = Album(album.cache, "real", catalog, catalog["n_sources"].astype(int) + 3)
    facts = object_facts(known, 200001)
    assert facts["n_pix_source"] == "312 px"
    assert facts["theta_E"] == f'{REAL_EINSTEIN_RADII[200001]:.2f}"'
    assert (facts["mag_eff"], facts["z_lens"], facts["mag_lens"]) == ("2.353", "0.7", "20.23")
    assert {facts[rule] for rule in ("any-source", "official-2019", "official-2020")} == {"lens"}
    assert (facts["fold"], facts["mended pixels"]) == ("4", "VIS 12, H 3")
    facts = object_facts(known, 200003)
    assert (facts["mag_eff"], facts["sb_contrast"], facts["any-source"]) == ("-", "-", "non-lens")
    assert facts["mended pixels"] == "none"
    assert object_facts(known, 200005)["official-2019"] == "dropped"


def test_without_a_catalog_only_the_cache_speaks(album):
    assert object_facts(Album(album.cache, "test"), 200001) == {"ID": "200001", "mended pixels": "none"}


def test_look_draws_a_seeded_sample_of_every_group(album, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "_contact", lambda album, rows, path: drawn.append(rows) or path)
    for seed in (0, 0, 1):
        paths = look(album, tmp_path, seed, per_bin=3, without_source=2)
    assert [path.name for path in paths] == ["contact.png", "sizes.png"]
    assert drawn[0] == drawn[1] != drawn[2]
    assert list(drawn[0]) == [
        f"source, {name} px" for name in (">300", "151-300", "71-150", "41-70", "21-40", "<=20")
    ] + ["no source"]
    sizes, sources = album.catalog["n_pix_source"], album.catalog["n_sources"]
    assert (sizes[drawn[0]["source, 71-150 px"]].between(71, 150)).all()
    assert (sources[drawn[0]["no source"]] == 0).all()
    assert len(drawn[0]["source, 71-150 px"]) == 3


def test_look_writes_its_pictures(album, tmp_path):
    paths = look(album, tmp_path / "look" / "train", per_bin=1, without_source=1)
    assert size(paths[0])[0] == 860
    assert size(paths[1]) == (1500, 740)


def test_look_at_a_split_without_a_catalog(album, tmp_path):
    paths = look(Album(album.cache, "fake, test"), tmp_path, per_bin=1, without_source=3)
    assert [path.name for path in paths] == ["contact.png"]
    assert size(paths[0]) == (3332, 564)


@pytest.mark.parametrize(("per_bin", "without_source"), [(0, 0), (40, 0)])
def test_look_refuses_samples_that_no_sheet_holds(album, tmp_path, per_bin, without_source):
    with pytest.raises(InputError, match="a contact sheet has room for 1 to 200"):
        look(album, tmp_path, per_bin=per_bin, without_source=without_source)


def test_neither_pyplot_nor_tensorflow_is_imported():
    heavy = "{'matplotlib.pyplot', 'tensorflow', 'keras'}"
    code = f"import sys, lensfold.report.pictures; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0
