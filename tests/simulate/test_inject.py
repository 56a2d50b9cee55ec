"""Simulated arcs in real cutouts: only the arc is added, the truth is that of what was added, hosts stay together."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from fakes.euclid import import_numbered, imported
from fakes.leaks import trivial_features
from fakes.mer import mer_file, psf_stamp, robust
from fakes.workspace import PROJECT, lensfold, write_settings
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lensfold.data.cache import Cache
from lensfold.data.catalog import COLUMNS, labels, read_catalog
from lensfold.data.folds import read_folds
from lensfold.errors import InputError
from lensfold.frames import BANDS, band_shapes
from lensfold.paths import Pack, Workspace, cutout_file, maps_file
from lensfold.simulate import get_population, simulate_object, simulate_pack
from lensfold.simulate.arcs import FaberJackson, draw_arc, draw_lens, noisy, observe
from lensfold.simulate.hosts import Host, HostLight, UnusableHost, known_lenses, measure
from lensfold.simulate.inject import inject
from lensfold.simulate.optics.light import components
from lensfold.simulate.optics.render import Planes, add_light

REAL = Path(os.environ.get("LENSFOLD_REAL_EUCLID", PROJECT.parent / "shared" / "real_euclid"))
SEED, HOSTS, BARE, COUNT = 77, 14, 3, 2  # hosts; those of them without maps; arcs a host
PROFILE = "euclid"
FROZEN = "challenge-1"  # its pixels never change, and each of its first hosts can be used


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> tuple[Path, list[dict[str, np.ndarray]]]:
    """A project's folder with ``data/mine``, imported from MER cutouts, and the frames that these were made of.

    The first host has bad pixels; the last ones have no maps."""
    root = tmp_path_factory.mktemp("injection")
    write_settings(root)
    files = [root / "cutouts" / f"{number}.fits" for number in range(11, 11 + HOSTS)]
    kinds = [("RMS", "PSF")] * (HOSTS - BARE) + [()] * BARE
    frames = [mer_file(file, SEED, k, kind, FROZEN) for k, (file, kind) in enumerate(zip(files, kinds, strict=True))]
    with fits.open(files[0], mode="update") as hdus:
        hdus["VIS_RMS"].data[140:143, 150:152] = 1e16
    import_numbered(files, root / "data" / "mine")
    return root, frames


@pytest.fixture(scope="module")
def injected(mine) -> Path:
    """The same folder with ``data/injected``: host 13 is a known lens."""
    root, _ = mine
    (root / "known.csv").write_text("name,z\n13.fits,0.5\nelsewhere.fits,0.7\n")
    options = ("--count", str(COUNT), "--exclude", str(root / "known.csv"), "--workers", "1", "--profile", "sample")
    done = lensfold(root, "inject", "--hosts", "data/mine", "--out", "data/injected", *options)
    for words in (f"{HOSTS - 1} hosts as they are", "26 images with an arc", "1 x known lens", f"{BARE} without"):
        assert words in done.stdout, done.stdout
    return root


def frames_of(folder: Path, object_id: int) -> dict[str, np.ndarray]:
    return {band: fits.getdata(cutout_file(folder, band, object_id)).astype(np.float64) for band in BANDS}


def arcs_of(root: Path) -> pd.DataFrame:
    """The injected objects of the catalog."""
    catalog = read_catalog(root / "data" / "injected" / "image_catalog2.0train.csv")
    return catalog[catalog["n_sources"] > 0]


def test_mer_files_of_simulated_objects_are_imported_as_they_were(mine):
    root, frames = mine
    for number, images in enumerate(frames[1:], 12):
        for band, image in frames_of(root / "data" / "mine", number).items():
            np.testing.assert_allclose(image, images[band], rtol=2e-5, atol=2e-5 * robust(images[band]))


def test_what_came_with_a_cutout_is_kept(mine):
    root, frames = mine
    with fits.open(maps_file(root / "data" / "mine", 11)) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [f"{band}_{kind}" for kind in ("RMS", "PSF") for band in BANDS]
        for band in BANDS:
            sigma = robust(frames[0][band])
            assert np.nanmedian(hdus[f"{band}_RMS"].data) == pytest.approx(sigma, rel=1e-4)
            assert hdus[f"{band}_PSF"].data.sum() == pytest.approx(1, abs=1e-5)
        bad = np.isnan(hdus["VIS_RMS"].data)
        np.testing.assert_array_equal(bad, np.isnan(frames_of(root / "data" / "mine", 11)["VIS"]))
        assert bad.sum() == 6
    assert not maps_file(root / "data" / "mine", 11 + HOSTS - 1).exists()


def test_only_the_arc_is_added(injected):
    """The twin, the untouched host and the cutout are the same bytes; outside its arc an injected image is too."""
    pack, mine = Pack("injected", injected / "data" / "injected"), injected / "data" / "mine"
    touched = []
    for object_id in arcs_of(injected).index:
        host_id = object_id // 100
        for band in BANDS:
            cutout = cutout_file(mine, band, host_id).read_bytes()
            assert cutout_file(pack.split_source("twins"), band, object_id).read_bytes() == cutout
            assert cutout_file(pack.split_source("train"), band, 100 * host_id).read_bytes() == cutout
            image = fits.getdata(cutout_file(pack.split_source("train"), band, object_id))
            host = fits.getdata(cutout_file(mine, band, host_id))
            same = (image == host) | (np.isnan(image) & np.isnan(host))
            np.testing.assert_array_equal(np.isnan(image), np.isnan(host))
            touched.append(1 - same.mean())
    assert 0 < np.mean(touched) < 0.4 and max(touched) < 0.9


def test_catalog_truth_is_that_of_what_was_added(injected):
    arcs = arcs_of(injected)
    p = get_population("sample")
    pack = Pack("injected", injected / "data" / "injected")
    for object_id, row in arcs.iterrows():
        image, twin = (frames_of(pack.split_source(split), object_id)["VIS"] for split in ("train", "twins"))
        added = np.nan_to_num(image - twin)
        flux = row["source_flux"]
        assert added.sum() == pytest.approx(flux, abs=5 * np.sqrt(p.flux_per_electron[0] * flux) + 0.01 * flux)
        above = np.count_nonzero(added > p.k_pix * robust(twin[np.isfinite(twin)]))
        assert above == pytest.approx(row["n_pix_source"], abs=8 + 0.25 * row["n_pix_source"])
        theta = np.sqrt(row["ein_area"] / np.pi) * 206265
        assert 0.299 < theta < 3.501 and row["z_source"] > row["z_lens"]
    assert labels(arcs, "any-source").eq(1).all() and (arcs["n_pix_source"] > 20).mean() > 0.3
    assert (arcs["mag_eff"].dropna() > 1).all()


def test_the_catalog_has_every_host_and_its_arcs(injected):
    folder = injected / "data" / "injected"
    catalog, objects = read_catalog(folder / "image_catalog2.0train.csv"), pd.read_csv(folder / "objects.csv")
    hosts = [number for number in range(11, 11 + HOSTS) if number != 13]
    expected = [100 * host + number for host in hosts for number in range(COUNT + 1)]
    assert catalog.index.tolist() == expected == objects["ID"].tolist()
    assert list(catalog.columns) == ["simulation_index", *COLUMNS[2:]]
    assert (catalog["n_sources"].to_numpy() == objects["arc"].to_numpy()).all()
    assert (objects["name"] == objects["host_ID"]).all() and objects["file"].str.endswith("cutouts/11.fits")[0]
    untouched = catalog[catalog["n_sources"] == 0]
    assert (untouched[["n_pix_source", "source_flux", "n_source_im"]] == 0).all(axis=None)
    header = fits.getheader(cutout_file(folder / "train", "VIS", expected[1]))
    assert header["OBJECT"] == "SYNTHETIC 1101" and header["SRCFILE"] == "11.fits" and header["CRVAL1"] > 0
    assert Pack("injected", folder).is_simulated and not (folder / "test").exists()


def test_the_pack_goes_all_the_way_and_folds_keep_a_host_together(injected):
    lensfold(injected, "run", "folds", "cache", "--pack", "injected")
    lensfold(injected, "cache", "--split", "twins", "--pack", "injected", "--workers", "1")
    workspace = Workspace(injected)
    pack = workspace.pack("injected")
    catalog = read_catalog(pack.catalog)
    folds = read_folds(workspace.folds(pack), catalog)
    assert (folds.groupby(folds.index // 100).nunique() == 1).all() and folds.nunique() == 3
    with Cache(workspace.cache(pack, "train")) as train, Cache(workspace.cache(pack, "twins")) as twins:
        assert train.ids.tolist() == catalog.index.tolist()
        assert twins.ids.tolist() == arcs_of(injected).index.tolist()


def light_of(index: int) -> tuple[Host, HostLight]:
    images = simulate_object(PROFILE, SEED, "train", index, with_source=False).images
    host = Host(1000 + index, images, {}, {})
    return host, measure(host)


def gaussian_light(x: float, y: float, sigma: float, q: float, angle: float, flux: float = 1.0) -> np.ndarray:
    """An elliptical Gaussian on the VIS frame; arcsec."""
    at = (np.arange(200) - 99.5) * 0.1
    dx, dy = at[None, :] - x, at[:, None] - y
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    image = np.exp(-0.5 * (u**2 + (v / q) ** 2) / sigma**2)
    return flux * image / image.sum()


@pytest.mark.parametrize(("q", "angle"), [(0.55, 0.3), (0.7, 1.4), (0.8, -1.0), (0.95, 0.0)])
@pytest.mark.parametrize("neighbour", [False, True])
def test_the_deflector_is_read_off_the_light(q, angle, neighbour):
    """Centre, axis ratio and angle of an elliptical galaxy, also with a brighter one 2 arcsec away."""
    sigma = 4.5e-13
    rng = np.random.default_rng(5)
    vis = gaussian_light(0.21, -0.13, 0.45, q, angle, 1e-8) + rng.normal(0, sigma, (200, 200))
    if neighbour:
        vis += gaussian_light(2.0, 1.2, 0.35, 0.6, 2.0, 2e-8)
    images = {"VIS": vis.astype(np.float32)}
    images |= {band: rng.normal(0, 8e-12, (66, 66)).astype(np.float32) for band in BANDS[1:]}
    light = measure(Host(1, images, {}, {}))
    assert (light.x, light.y) == pytest.approx((0.21, -0.13), abs=0.03)
    assert light.axis == pytest.approx(q, abs=0.06)
    turn = (light.angle - angle + np.pi / 2) % np.pi - np.pi / 2
    assert abs(turn) < (0.12 if q < 0.9 else 1)
    assert light.flux[0] == pytest.approx(1e-8, rel=0.08)
    assert light.sigma[0] == pytest.approx(sigma, rel=0.05) and abs(light.lag[0]) < 0.05
    assert len(light.places) == neighbour
    if neighbour:
        np.testing.assert_allclose(light.places[0], [2.0, 1.2, -2.5 * np.log10(2e-8)], atol=0.1)


def test_a_host_that_is_not_seen():
    rng = np.random.default_rng(5)
    vis = gaussian_light(0.0, 0.0, 0.2, 0.8, 0.0, 3e-11) + rng.normal(0, 4.5e-13, (200, 200))
    images = {band: rng.normal(0, 8e-12, (66, 66)).astype(np.float32) for band in BANDS[1:]}
    bright = gaussian_light(0.7, 0.0, 0.15, 1.0, 0.0, 1e-8)
    with pytest.raises(UnusableHost, match="outshone by a neighbour|no object in the middle"):
        measure(Host(1, images | {"VIS": (vis + bright).astype(np.float32)}, {}, {}))
    flat = np.where(np.arange(200) % 3 == 0, 1e-10, 2e-13) * np.linspace(1, 1 + 1e-6, 200)[:, None]
    with pytest.raises(UnusableHost, match="without noise|in the middle"):
        measure(Host(1, images | {"VIS": flat.astype(np.float32)}, {}, {}))


def test_a_brighter_host_bends_more():
    """Faber-Jackson: one magnitude is a factor 10^(0.4 / 4) in velocity dispersion, at the same redshift."""
    _, light = light_of(0)
    model = FaberJackson(redshift=(0.5, 0.0, 0.0), scatter=0.0)
    brighter = HostLight(**{**vars(light), "flux": light.flux * 10**0.4})
    one, two = (draw_lens(1, 5, each, get_population(PROFILE), model) for each in (light, brighter))
    assert two.dispersion / one.dispersion == pytest.approx(10**0.1)
    assert two.einstein / one.einstein == pytest.approx(10**0.2)
    star = HostLight(**{**vars(light), "flux": np.full(4, 10 ** (-0.4 * (-22.5 + 42.26 - 0.7)))})
    lens = draw_lens(1, 5, star, get_population(PROFILE), model)  # L*: distance modulus 42.26 at z = 0.5
    assert lens.dispersion == pytest.approx(225, rel=0.01) and lens.einstein == pytest.approx(1.46, abs=0.03)


def test_a_host_has_one_deflector_and_arcs_of_their_own():
    host, light = light_of(1)
    p = get_population("sample")
    rows = []
    for number in (0, 1, 2):
        lens = draw_lens(3, host.object_id, light, p, FaberJackson())
        rows.append(draw_arc(host, light, lens, 3, number, p, FaberJackson()).row)
    assert len({(row["z_lens"], row["halo_mass"], row["mag_lens"]) for row in rows}) == 1
    assert rows[1]["source_ID"] != rows[2]["source_ID"] and rows[0]["n_sources"] == 0
    other, _ = light_of(2)
    assert draw_lens(3, other.object_id, light, p, FaberJackson()).z != rows[0]["z_lens"]


def test_the_noise_of_an_arc_is_that_of_its_own_photons():
    rng = np.random.default_rng(1)
    arc = np.tile(np.array([0, 1e-16, 1e-12, 2e-11], np.float32), (50, 25))
    host = np.zeros((50, 100), np.float32)
    host[:, 7] = np.nan
    draws = np.stack([noisy(rng, arc, host, 4.5e-13, 0.0, 3.7e-14) for _ in range(40)])
    assert (draws[:, :, :2] == 0).all() and (draws[:, :, 7] == 0).all()  # below a thousandth of the sky's sigma; NaN
    for column, flux in ((2, 1e-12), (3, 2e-11)):
        values = draws[:, :, column]
        assert values.mean() == pytest.approx(flux, rel=0.02)
        assert values.var() == pytest.approx(3.7e-14 * flux, rel=0.1)
    even = np.full((66, 66), 2e-11, np.float32)
    draws = np.stack([noisy(rng, even, even, 8e-12, 0.4, 3e-13) - even for _ in range(20)])
    assert draws.var() == pytest.approx(3e-13 * 2e-11, rel=0.05)
    assert np.mean(draws[:, :, 1:] * draws[:, :, :-1]) / draws.var() == pytest.approx(0.4, abs=0.02)


def test_a_kernel_of_a_file_does_what_the_profiles_psf_does():
    """Moffat stamps of the profile's own width give its images."""
    p = get_population("sample")
    planes = Planes.empty()
    add_light(planes, components(x=0.83, y=-0.13, radius=0.35, axis=0.6, angle=0.8, flux=np.full(4, 1e-8)), p)
    stamps = {band: psf_stamp(p.psf_fwhm[k], p.psf_beta[k], 81).astype(np.float64) for k, band in enumerate(BANDS)}
    by_profile, by_file = observe(planes, {}, p), observe(planes, stamps, p)
    for one, other in zip(by_profile, by_file, strict=True):
        assert other.sum() == pytest.approx(one.sum(), rel=0.01)
        assert np.abs(other - one).max() < 0.03 * one.max()
        step = 0.1 if len(one) == 200 else 0.3
        at = (np.arange(len(one)) - 0.5 * (len(one) - 1)) * step
        centre = [(other.sum(axis=axis) @ at) / other.sum() for axis in (0, 1)]
        assert centre == pytest.approx([0.83, -0.13], abs=0.02)


def features(images: dict[str, np.ndarray]) -> list[float]:
    """What would give an injected image away besides its arc: level, scatter, correlation, rim, missing pixels."""
    values: list[float] = []
    for band in BANDS:
        image = images[band].astype(np.float64)
        rim = image.copy()
        rim[len(rim) // 4 : -(len(rim) // 4), len(rim) // 4 : -(len(rim) // 4)] = np.nan
        outside = rim[np.isfinite(rim)]
        values += [np.median(image), robust(image), robust(outside), outside.sum(), outside.max()]
        values += [float(np.mean(np.diff(image, axis=1)[:, :10] ** 2)), float((image == 0).mean())]
    return values


@pytest.fixture(scope="module")
def pairs() -> tuple[list[dict[str, np.ndarray]], list[int]]:
    """Hosts as they are and with an arc, one after the other, and which has one."""
    p, images, arcs = get_population(PROFILE), [], []
    for index in range(70):
        try:
            host, light = light_of(index)
        except UnusableHost:
            continue
        lens = draw_lens(9, host.object_id, light, p, FaberJackson())
        arc = draw_arc(host, light, lens, 9, 1, p, FaberJackson())
        images += [dict(host.images), {band: host.images[band] + arc.added[band] for band in BANDS}]
        arcs += [0, 1]
    assert len(arcs) > 110
    return images, arcs


@pytest.mark.parametrize(
    ("of_image", "most"), [(features, 0.60), (trivial_features, 0.65)], ids=["not the arc", "flux too"]
)
def test_nothing_gives_an_image_with_an_arc_away(pairs, of_image, most):
    """With 400 pairs of the profile euclid: 0.52, and 0.58 where sums and maxima may see the arc's own flux."""
    images, arcs = pairs
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    rows, groups = np.array([of_image(image) for image in images]), np.arange(len(arcs)) // 2
    score = cross_val_predict(model, rows, arcs, cv=GroupKFold(5), groups=groups, method="predict_proba")[:, 1]
    assert roc_auc_score(arcs, score) <= most


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def copy_of(mine: Path, to: Path, ids: tuple[int, ...] = (11, 12)) -> Path:
    """A pack with some of the hosts."""
    for band in BANDS:
        for number in ids:
            target = cutout_file(to, band, number)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(cutout_file(mine, band, number), target)
    return to


def test_an_object_depends_on_its_host_only_and_an_earlier_pack_is_replaced(mine, tmp_path):
    root, _ = mine
    few = copy_of(root / "data" / "mine", tmp_path / "few")
    inject(few, tmp_path / "one", "sample", 2, 5)
    (tmp_path / "one" / "cache").mkdir()
    inject(copy_of(few, tmp_path / "fewer", (12,)), tmp_path / "two", "sample", 1, 5)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    files = [name for name in two if name.endswith(".fits")]
    assert len(files) == 12 and all(one[name] == two[name] for name in files)
    inject(tmp_path / "fewer", tmp_path / "one", "sample", 1, 5)
    assert contents(tmp_path / "one") == two and (tmp_path / "one" / "cache").is_dir()


def refused(match: str, hosts: Path, out: Path, **options) -> None:
    before = contents(out) if out.exists() else None
    with pytest.raises(InputError, match=match) as error:
        inject(hosts, out, "sample", **options)
    assert "\n" not in str(error.value)
    assert (contents(out) if out.exists() else None) == before


def test_an_interrupted_injection_leaves_nothing(mine, tmp_path):
    root, _ = mine
    few = copy_of(root / "data" / "mine", tmp_path / "few")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inject(few, tmp_path / "out", "sample", progress=stop)
    assert not (tmp_path / "out").exists()
    inject(few, tmp_path / "out", "sample")
    before = contents(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        inject(few, tmp_path / "out", "sample", seed=2, progress=stop)
    assert contents(tmp_path / "out") == before
    # cut off while the new files were put in place: no catalog, and the next run begins anew
    (tmp_path / "out" / "image_catalog2.0train.csv").unlink()
    shutil.rmtree(tmp_path / "out" / "train")
    killed = subprocess.Popen(["true"])
    killed.wait()
    copy_of(few, tmp_path / "out" / f".injecting-{killed.pid}")
    inject(few, tmp_path / "out", "sample")
    assert contents(tmp_path / "out") == before


def test_hosts_of_ten_arcsec_give_packs_of_ten_arcsec(mine, tmp_path):
    root, _ = mine
    import_numbered([root / "cutouts" / f"{number}.fits" for number in (12, 13, 14)], tmp_path / "ten", side=100)
    made = inject(tmp_path / "ten", tmp_path / "out", "sample", 1, 5)
    assert (made.hosts, made.arcs, made.with_rms) == (3, 3, 3)
    rows = read_catalog(tmp_path / "out" / "image_catalog2.0train.csv")
    for object_id in rows.index[rows["n_sources"] > 0]:
        image, host = (frames_of(tmp_path / "out" / split, object_id) for split in ("train", "twins"))
        assert {band: one.shape for band, one in image.items()} == band_shapes(100)
        arc = image["VIS"] - host["VIS"]
        assert arc.sum() == pytest.approx(rows["source_flux"][object_id], rel=0.1)
        assert rows["n_pix_source"][object_id] > 20
    assert (rows["n_pix_lens"] > 0).all() and set(rows["n_gal_5"]) <= set(range(30))
    copy_of(root / "data" / "mine", tmp_path / "ten", (15,))
    refused(r'ten: hosts of two sizes \(3 of 100 VIS pixels \(10"\), 1 of 200', tmp_path / "ten", tmp_path / "again")


def test_folders_that_are_no_hosts_or_no_place_for_a_pack(mine, tmp_path):
    root, _ = mine
    mine_folder = root / "data" / "mine"
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    refused("empty: no cutouts found.*import-euclid", tmp_path / "empty", out)
    refused("absent: no cutouts found", tmp_path / "absent", out)
    (tmp_path / "hollow" / "Public" / "EUC_VIS").mkdir(parents=True)
    refused("hollow: no cutouts found", tmp_path / "hollow", out)
    simulate_pack(tmp_path / "sky", "smoke", 1, 1, 1, 1)
    refused("sky: has a catalog", tmp_path / "sky", out)
    refused("sky: is not empty", mine_folder, tmp_path / "sky")
    refused("is the folder of the hosts", mine_folder, mine_folder)
    refused("is the folder of the hosts, or inside it", mine_folder, mine_folder / "deeper")
    refused("few: is not empty", mine_folder, copy_of(mine_folder, tmp_path / "few"))
    bare = copy_of(mine_folder, tmp_path / "bare")
    for band in "YH":
        shutil.rmtree(bare / "Public" / f"EUC_{band}")
    refused("bare: has no Y and H, and arcs are put into all four bands", bare, out)
    refused("arcs a host = 0", mine_folder, out, count=0)
    refused("seed = -1", mine_folder, out, seed=-1)
    inject(tmp_path / "few", out, "sample")
    refused("out: has a catalog", out, tmp_path / "again")
    with pytest.raises(InputError, match="is not from this simulator"):
        simulate_pack(out, "smoke", 1, 1, 1, 1)


def test_hosts_that_cannot_be_used(mine, tmp_path):
    root, _ = mine
    hosts = copy_of(root / "data" / "mine", tmp_path / "hosts", (11, 12, 14, 15))
    cutout_file(hosts, "H", 12).unlink()
    with fits.open(cutout_file(hosts, "J", 14), mode="update") as hdus:
        hdus[0].data[:20] = np.nan
    with fits.open(cutout_file(hosts, "VIS", 15), mode="update") as hdus:
        hdus[0].data[:] = np.random.default_rng(1).normal(0, 4.5e-13, (200, 200))
    made = inject(hosts, tmp_path / "out", "sample")
    assert made.left_out == {
        "no readable file in H": 1,
        "too many bad pixels in J": 1,
        "no object in the middle": 1,
    }
    assert (made.hosts, made.arcs, made.with_rms, made.with_psf) == (1, 1, 0, 0)
    shutil.rmtree(tmp_path / "out")
    for band in BANDS:
        cutout_file(hosts, band, 11).unlink()
    refused("none of the 3 hosts can be used.*no object in the middle", hosts, tmp_path / "out")
    fits.PrimaryHDU(np.ones((101, 101), np.float32)).writeto(cutout_file(hosts, "VIS", 12), overwrite=True)
    refused(r"image shape is \(101, 101\), expected \(200, 200\) or \(100, 100\)", hosts, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ID\n12\n", {12}),
        ("object_id, ra\n-14, 3.5\n", {15}),
        ("12.fits\n/some/where/15.fits\n", {12, 15}),
        ("file,ID\nx.fits,12\n14.fits,\n", {12, 14}),
        ("\ufeffid\r\n12\r\n", {12}),
        ("name\n999\n", set()),
        ("", set()),
    ],
)
def test_lists_of_known_lenses(tmp_path, text, found):
    files = ["12.fits", "in/14.fits", "15.fits"]
    hosts = pd.DataFrame({"name": ["12", "14", "-14"], "file": files}, index=[12, 14, 15])
    (tmp_path / "known.csv").write_text(text, encoding="utf-8")
    assert known_lenses(tmp_path / "known.csv", hosts) == found


def test_lists_that_cannot_be_used(mine, tmp_path):
    root, _ = mine
    few, known = copy_of(root / "data" / "mine", tmp_path / "few"), tmp_path / "known.csv"
    refused("known.csv: the list of known lenses cannot be read", few, tmp_path / "out", exclude=known)
    known.write_text("ra,dec\n1.5,2.5\n")
    refused("known.csv, line 1: found 'ra, dec', expected a column ID", few, tmp_path / "out", exclude=known)
    known.write_text("11\n12\n")
    refused("known.csv: lists every host", few, tmp_path / "out", exclude=known)


def test_long_ids_keep_their_last_digits(mine, tmp_path):
    root, _ = mine
    hosts = copy_of(root / "data" / "mine", tmp_path / "hosts", (11,))
    for band in BANDS:
        cutout_file(hosts, band, 11).rename(cutout_file(hosts, band, 523574860290315045))
    inject(hosts, tmp_path / "out", "sample")
    assert read_catalog(tmp_path / "out" / "image_catalog2.0train.csv").index.tolist() == [
        486029031504500,
        486029031504501,
    ]
    for band in BANDS:
        shutil.copy(cutout_file(hosts, band, 523574860290315045), cutout_file(hosts, band, 14860290315045))
    refused("have the same last 13 digits", hosts, tmp_path / "other")


@pytest.mark.skipif(not REAL.is_dir(), reason="no real Euclid cutouts here")
def test_arcs_in_a_real_cutout(tmp_path):
    """n = 1: of the three real objects one is a whole MER cutout of 300 pixels."""
    imported([REAL / "mer" / "EUC_MER_example_300px.fits"], tmp_path / "mine")
    made = inject(tmp_path / "mine", tmp_path / "out", PROFILE, 3)
    assert (made.hosts, made.arcs, made.with_rms, made.with_psf, made.left_out) == (1, 3, 1, 1, {})
    catalog = read_catalog(tmp_path / "out" / "image_catalog2.0train.csv")
    assert catalog["n_sources"].tolist() == [0, 1, 1, 1] and catalog["mag_lens"].between(17, 23).all()
    # two images in challenge geometry came without maps
    made = inject(REAL, tmp_path / "other", PROFILE)
    assert made.hosts == 2 and made.with_rms == made.with_psf == 0
