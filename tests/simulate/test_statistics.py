"""The challenge sky: catalog statistics near the real ones, and no label that a trivial feature gives away."""

import numpy as np
import pandas as pd
import pytest
from fakes.leaks import leak_auc, trivial_features

from lensfold.data.catalog import LABEL_RULES, labels
from lensfold.simulate import simulate_object

pytestmark = pytest.mark.slow
SEED, COUNT = 1, 1000


@pytest.fixture(scope="session")
def sky() -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Catalog (by ID), trivial features (n, 23) and morphologies of 1,000 objects."""
    items = (simulate_object("challenge", SEED, "train", k) for k in range(COUNT))
    rows, features, kinds = zip(*((x.row, trivial_features(x.images), x.morphology) for x in items), strict=True)
    return pd.DataFrame(rows).set_index("ID"), np.array(features), list(kinds)


def theta_e(catalog: pd.DataFrame) -> np.ndarray:
    return np.sqrt(catalog["ein_area"] / np.pi).to_numpy() * 206264.806


# Value, low, high. The real value or the recipe's is inside each band; bands of tail-driven numbers are wide.
BANDS_OF_STATISTICS = {
    "no mag_eff": (lambda c: c["mag_eff"].isna().mean(), 0.08, 0.16),  # 0.112
    "without a source": (lambda c: (c["n_sources"] == 0).mean(), 0.07, 0.13),  # 0.100
    "mag_eff above 2": (lambda c: (c["mag_eff"] > 2).mean(), 0.45, 0.63),  # 0.547
    "spread of mag_eff": (lambda c: c["mag_eff"].std(), 1.6, 4.0),  # 2.40
    "mag_eff below 1.2": (lambda c: (c["mag_eff"] < 1.2).mean(), 0.003, 0.08),  # 0.03-0.06
    "no image": (lambda c: (c["n_source_im"] == 0).mean(), 0.11, 0.30),  # 0.18-0.24
    "one image": (lambda c: (c["n_source_im"] == 1).mean(), 0.30, 0.58),  # 0.34-0.39
    "two images": (lambda c: (c["n_source_im"] == 2).mean(), 0.22, 0.42),  # 0.33
    "spread of images": (lambda c: c["n_source_im"].std(), 0.7, 1.3),  # 0.916
    "no source pixel": (lambda c: (c["n_pix_source"] == 0).mean(), 0.12, 0.26),  # 0.18
    "above 300 pixels": (lambda c: (c["n_pix_source"] > 300).mean(), 0.045, 0.12),  # 0.08
    "spread of pixels": (lambda c: c["n_pix_source"].std(), 140, 400),  # 244.7
    "official-2020": (lambda c: labels(c, "official-2020").mean(), 0.42, 0.57),  # 0.491
    "official-2019": (lambda c: labels(c, "official-2019").mean(), 0.70, 0.92),  # 0.78
    "median theta_E": (lambda c: np.median(theta_e(c)), 2.1, 3.1),  # 2.6
    "5 % of theta_E": (lambda c: np.percentile(theta_e(c), 5), 0.9, 1.8),  # 1.3
    "95 % of theta_E": (lambda c: np.percentile(theta_e(c), 95), 3.9, 6.2),  # 5.0
    "neighbours in 3": (lambda c: c["n_gal_3"].mean(), 0.5, 1.3),  # 0.84
    "neighbours in 5": (lambda c: c["n_gal_5"].mean(), 1.5, 3.0),  # 2.2
    "neighbours in 10": (lambda c: c["n_gal_10"].mean(), 6.5, 10.0),  # 8.1
    "median mag_source": (lambda c: c["mag_source"].median(), 25.2, 26.0),  # 25.7
    "median mag_lens": (lambda c: c["mag_lens"].median(), 19.0, 20.6),  # 20.2
}


@pytest.mark.parametrize("name", BANDS_OF_STATISTICS)
def test_catalog_statistics(sky, name):
    statistic, low, high = BANDS_OF_STATISTICS[name]
    assert low <= statistic(sky[0]) <= high


def test_noise_levels_and_brightness(sky):
    features = sky[1]
    noise = 1.4826 * np.median(features[:, 8:12], axis=0)
    for value, (low, high) in zip(
        noise, ((4e-13, 6e-13), (6.5e-12, 12e-12), (8.5e-12, 14e-12), (6e-12, 13e-12)), strict=True
    ):
        assert low < value < high
    assert 1e-10 < np.median(features[:, 4]) < 2.5e-10  # VIS maximum; two real rows 1.3 and 2.0e-10
    assert 2e-9 < np.median(features[:, 7]) < 1.3e-8  # H maximum; two real rows 6.5e-9 and 1.3e-8


def test_haloes_make_groups(sky):
    catalog = sky[0]
    sizes = catalog.groupby(["z_lens", "halo_mass", "star_mass"]).size().sort_values()
    assert len(sizes) == catalog["halo_mass"].nunique()
    assert 0.03 < sizes.iloc[-1] / COUNT < 0.15
    assert (sizes == 1).sum() > 150


def test_morphology_does_not_tell_the_class(sky):
    """Spirals, rings, edge-on discs and mergers have a source as often as the others."""
    with_source = sky[0]["n_sources"].to_numpy()
    confuser = np.array([kind != "early" for kind in sky[2]])
    assert 0.12 < confuser.mean() < 0.38
    assert abs(with_source[confuser].mean() - with_source[~confuser].mean()) < 0.08


@pytest.mark.parametrize("rule", LABEL_RULES)
def test_trivial_features_do_not_find_lenses(sky, rule):
    y = labels(sky[0], rule)
    kept = y.notna().to_numpy()
    assert leak_auc(sky[1][kept], y[kept].to_numpy(dtype=int)) < 0.70
