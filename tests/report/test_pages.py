"""The report of a pack, through the command line: its pages, what it refuses, and what it does not make twice."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd
import pytest
from fakes.catalog import give_radii
from fakes.runs import reconfigure, write_run_with_history
from fakes.workspace import lensfold
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lensfold.data.catalog import read_catalog
from lensfold.errors import InputError
from lensfold.files import file_sha256, sealed
from lensfold.paths import Pack, Workspace
from lensfold.report.gallery import lens_lists, worst_radii
from lensfold.report.pages import write_report

PACK = ("--pack", "fake")
#: what HTML in a name would do, were it not escaped
EVIL = """</script><x-evil onload='1'>&"$x_1$"""
PLOTS = ("learning.png", "roc.png", "histograms.png", "reliability.png", "recall.png")


class Page(HTMLParser):
    """The links, pictures, cards and text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.folder, self.source = path.parent, path.read_text()
        self.links, self.tags, self.cards, self.words = [], [], [], []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [given[name] for name in ("href", "src", "data-overlay") if given.get(name)]
        if given.get("class") == "card":
            self.cards.append(given)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def ids(self, name):
        return [int(card["data-id"]) for card in self.cards if card["data-list"] == name]


def page(workspace, name="index.html"):
    return Page(workspace / "runs" / "fake" / "report" / name)


def files(folder):
    """Time of change of every file below a folder."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def reported(fake_workspace, tmp_path_factory):
    """A workspace with two lens runs and one of radii, and its report; not to be written to."""
    workspace = tmp_path_factory.mktemp("reported") / "w"
    shutil.copytree(fake_workspace, workspace)
    give_radii(workspace / "data" / "fake" / "image_catalog2.0train.csv")
    for seed, name in enumerate(("first", "second")):
        write_run_with_history(workspace, name, seed=seed, one_view=name == "first")
        lensfold(workspace, "score", "--experiment", name, *PACK)
    write_run_with_history(workspace, "radii", "einstein-radius", seed=5, scatter=0.2)
    lensfold(workspace, "score", "--experiment", "radii", *PACK)
    lensfold(workspace, "report", *PACK, "--gallery", "12")
    return workspace


@pytest.fixture
def copied(reported, tmp_path):
    """A copy of it, to write to."""
    shutil.copytree(reported, tmp_path / "w")
    return tmp_path / "w"


def test_every_link_of_every_page_is_there_and_relative(reported):
    folder = reported / "runs" / "fake" / "report"
    pages = sorted(path.name for path in folder.glob("*.html"))
    assert pages == ["first.html", "index.html", "leaderboard.html", "radii.html", "second.html"]
    for name in pages:
        for link in page(reported, name).links:
            assert not re.match(r"[a-z]+:|/", link), link
            if not link.startswith("#"):
                assert (folder / unquote(link)).is_file(), (name, link)


def test_the_first_page_lists_the_runs_with_their_scores(reported):
    index = page(reported)
    assert "SYNTHETIC" in index.text and "never set these scores beside" in index.text
    for name, key in (("first", "auc"), ("second", "auc"), ("radii", "mse")):
        score = json.loads((reported / "runs" / "fake" / name / "score.json").read_text())
        assert f"{name}.html" in index.links and f"{key.upper()} {score[key]['value']:.4f}" in index.text


def test_a_page_names_pack_rule_and_n_and_has_its_plots(reported):
    first = page(reported, "first.html")
    for words in ("pack fake", "rule official-2020", "task lens", "n = 60 (", "lenses)", "network fast_cnn", "TPR10"):
        assert words in first.text
    for plot in PLOTS:
        assert f"plots/first/{plot}" in first.links
        with Image.open(reported / "runs" / "fake" / "report" / "plots" / "first" / plot) as picture:
            assert picture.size == (1600, 768)
    radii = page(reported, "radii.html")
    assert "plots/radii/radii.png" in radii.links and "cuts" not in re.findall(r'id="([^"]*)"', radii.source)


def test_a_page_shows_one_view_beside_eight_or_that_it_was_not_kept(reported):
    paired = json.loads((reported / "runs" / "fake" / "first" / "score.json").read_text())["one_view"]
    text = page(reported, "first.html").text
    assert f"AUC of one view{paired['first']:.3f}" in text
    gain = f"{paired['value']:+.3f} ({paired['low']:+.3f} to {paired['high']:+.3f})".replace("-", "−")
    assert f"mean logit of eight flips and rotations, which adds {gain} to that of one view" in text
    second = page(reported, "second.html").text
    assert "logits of one view were not kept when it was trained" in second and "AUC of one view" not in second
    assert "one view" not in page(reported, "radii.html").text
    index = page(reported).text
    assert "AUC of one view, and of the mean over eight flips and rotations" in index


def test_lists_hold_what_they_say(reported):
    first = page(reported, "first.html")
    catalog = read_catalog(reported / "data" / "fake" / "image_catalog2.0train.csv")
    run = reported / "runs" / "fake" / "first"
    logit = pd.concat([pd.read_csv(run / f"fold{fold}" / "oof.csv", index_col="ID")["logit"] for fold in range(3)])
    lens = (catalog["n_source_im"] > 0) & (catalog["mag_eff"] > 1.6) & (catalog["n_pix_source"] > 20)
    assert first.ids("false-positives") == logit[~lens].nlargest(12).index.tolist()
    missed = first.ids("missed")
    assert len(missed) == 12 and lens[missed].all()
    large = [i for i in missed if catalog.loc[i, "n_pix_source"] > 300]
    assert large == logit[lens & (catalog["n_pix_source"] > 300)].nsmallest(len(large)).index.tolist()
    assert len(first.ids("disagreements")) == 12 and " in second" in first.text
    assert "radii (it predicts Einstein radii)" in first.text
    labels = {card["data-id"]: card["data-label"] for card in first.cards}
    assert all((value == "lens") == lens[int(object_id)] for object_id, value in labels.items())


def test_worst_radii_are_first(reported):
    radii = page(reported, "radii.html")
    errors = [abs(float(text)) for text in re.findall(r'error ([+-][0-9.]+)"', radii.text)]
    assert len(errors) == 12 == len(radii.ids("worst")) and errors == sorted(errors, reverse=True)


def test_the_slider_has_exact_counts(reported):
    cuts = json.loads(re.search(r'id="cuts">(.*?)</script>', page(reported, "first.html").source).group(1))
    assert cuts["lenses"] + cuts["others"] == 60 and cuts["cuts"][-1][1:] == [cuts["lenses"], cuts["others"]]


def test_pictures_are_shared_and_show_the_object(reported):
    folder = reported / "runs" / "fake" / "report" / "images"
    pages = [page(reported, name) for name in ("first.html", "second.html", "radii.html")]
    shown = {card["data-id"] for found in pages for card in found.cards}
    assert sorted(path.name.split("-")[0] for path in folder.glob("*.jpg")) == sorted(shown)
    picture = cv2.imread(str(next(folder.glob("*.jpg"))))
    assert picture.shape == (400, 400, 3)
    normal, faint = picture[:200, :200].astype(float), picture[200:, :200].astype(float)
    assert faint.mean() > normal.mean() > 5 and normal[95:105, 95:105].mean() > 2 * normal.mean()


def test_a_second_report_writes_nothing(copied):
    folder = copied / "runs" / "fake" / "report"
    before = files(folder)
    lensfold(copied, "report", *PACK, "--gallery", "12")
    assert files(folder) == before


def test_a_new_run_makes_only_what_is_new(copied):
    folder = copied / "runs" / "fake" / "report"
    before = files(folder)
    write_run_with_history(copied, "third", seed=7)
    lensfold(copied, "report", *PACK, "--gallery", "12")
    changed = {name for name, time in files(folder).items() if before.get(name) != time}
    assert {"third.html", "index.html", "first.html", "second.html"} <= changed  # of the disagreements
    assert not any(name.startswith(("plots/first", "plots/second", "plots/radii")) for name in changed)
    assert not changed & {name for name in before if name.startswith("images/")}


def test_new_logits_make_the_plots_again(copied):
    folder = copied / "runs" / "fake" / "report"
    before = files(folder)
    write_run_with_history(copied, "first", seed=11)
    lensfold(copied, "report", *PACK, "--gallery", "12")
    changed = {name for name, time in files(folder).items() if before.get(name) != time}
    assert "plots/first/roc.png" in changed and "plots/second/roc.png" not in changed


def test_new_pixels_make_new_pictures(copied):
    folder = copied / "runs" / "fake" / "report" / "images"
    before = {path.name for path in folder.iterdir()}
    manifest = copied / "data" / "fake" / "cache" / "train" / "manifest.json"
    content = json.loads(manifest.read_text())
    for shard in content["shards"]:
        file = manifest.parent / shard["file"]
        np.save(file, np.load(file) * np.float32(1.01))
        shard["sha256"] = file_sha256(file)
    manifest.write_text(json.dumps(sealed(content)))
    lensfold(copied, "report", *PACK, "--gallery", "12")
    after = {path.name for path in folder.iterdir()}
    assert not before & after and len(after) == len(before)


def test_runs_can_be_chosen(copied):
    lensfold(copied, "report", *PACK, "--runs", "first", "radii", "--gallery", "3")
    links = set(page(copied).links)
    assert "second.html" not in links and {"first.html", "radii.html"} < links
    assert len(page(copied, "first.html").ids("false-positives")) == 3
    assert "No other run of this pack shares" in page(copied, "first.html").text
    done = lensfold(copied, "report", *PACK, "--runs", "gone", check=False)
    assert done.returncode == 1 and "no such run. Runs there: first, radii, second" in done.stderr


def test_half_written_and_refused_runs_are_told_on_the_page_too(copied):
    (copied / "runs" / "fake" / "empty").mkdir()
    broken = write_run_with_history(copied, "broken", seed=3) / "fold0" / "oof.csv"
    lines = broken.read_text().splitlines()
    broken.write_text("\n".join([*lines, lines[-1]]) + "\n")
    reconfigure(broken.parents[1])
    out = lensfold(copied, "report", *PACK, "--gallery", "2").stdout
    twice = f"ID {lines[-1].split(',')[0]} stands there twice"
    assert "empty: skipped: half-written: no config.json" in out and "broken: refused:" in out and twice in out
    index = page(copied)
    assert "empty: half-written: no config.json" in index.text and twice in index.text
    assert "Refused:" in page(copied, "broken.html").text and twice in page(copied, "broken.html").text
    assert "first.html" in index.links


def test_a_page_of_a_run_that_is_refused_now_is_replaced(copied):
    (copied / "runs" / "fake" / "first" / "config.json").write_text("{")
    lensfold(copied, "report", *PACK, "--gallery", "2")
    assert page(copied, "first.html").cards == [] and "damaged" in page(copied, "first.html").text


def test_a_cutout_that_is_gone_has_a_placeholder_with_the_reason(copied):
    shutil.rmtree(copied / "runs" / "fake" / "report" / "images")
    cache = copied / "data" / "fake" / "cache" / "train"
    next(cache.glob("shard-*.npy")).unlink()
    lensfold(copied, "report", *PACK, "--gallery", "2")
    first = page(copied, "first.html")
    assert "no picture" in first.text and "it is absent" in first.text and len(first.cards) == 6
    shutil.rmtree(cache)
    lensfold(copied, "report", *PACK, "--gallery", "2")
    assert "no cache here yet" in page(copied, "first.html").text


def test_different_rules_are_named_and_not_mixed(copied):
    write_run_with_history(copied, "older", seed=4, rule="official-2019")
    lensfold(copied, "report", *PACK, "--gallery", "5")
    older = page(copied, "older.html")
    assert "rule official-2019" in older.text and not older.ids("disagreements")
    assert "first (another label rule (official-2020))" in older.text
    assert "older (another label rule (official-2019))" in page(copied, "first.html").text
    assert page(copied, "first.html").ids("disagreements")


def test_explanations_that_exist_are_shown(copied):
    object_id = page(copied, "first.html").ids("missed")[0]
    folder = copied / "runs" / "fake" / "first"
    (folder / "explain").mkdir()
    fold = next(card for card in (folder / "fold0", folder / "fold1", folder / "fold2")
                if f"\n{object_id}," in (card / "oof.csv").read_text())  # fmt: skip
    network = PngInfo()
    network.add_text("Network", file_sha256(fold / "model.keras"))
    Image.new("RGB", (8, 8)).save(folder / "explain" / f"{object_id}.png", pnginfo=network)
    lensfold(copied, "report", *PACK, "--gallery", "12")
    shown = f"explain/first/{object_id}.png"
    assert shown in page(copied, "first.html").links and shown not in page(copied, "second.html").links
    (fold / "model.keras").write_text("trained again")
    reconfigure(folder)
    lensfold(copied, "report", *PACK, "--gallery", "12")
    assert shown not in page(copied, "first.html").links


def test_html_in_names_is_text(copied):
    """A run's folder, a pack's name, settings and a reason may hold anything."""
    name = EVIL.replace("/", "")
    folder = write_run_with_history(
        copied, name, seed=6, experiment={"label_rule": "official-2020", "learner": {"name": EVIL}}
    )
    write_run_with_history(copied, "x" + name, data_hash=EVIL)
    broken = write_run_with_history(copied, "y" + name)
    (broken / "config.json").write_text("[]")
    (folder / "fold0" / "history.csv").write_text(
        "epoch,min_size,trainable,loss,valid_auc\n1,20,$<x-evil>_1$,0.1,0.5\n2,20,<x-evil>,0.1,0.5\n"
    )
    workspace = Workspace(copied)
    write_report(workspace, Pack("fake", copied / "data" / "fake"), gallery=3, log=lambda line: None)
    pages = [Page(path) for path in (copied / "runs" / "fake" / "report").glob("*.html")]
    assert len(pages) == 8 and "evil" in "".join(found.source for found in pages)
    for found in pages:
        assert "x-evil" not in found.tags and "<x-evil" not in found.source
        for link in found.links:
            if not link.startswith("#"):
                assert (found.folder / unquote(link)).is_file(), link
    assert name in page(copied).text and EVIL in page(copied, f"{name}.html").text


def test_a_leaderboard_stands_on_the_first_page_as_it_is(copied):
    workspace = Workspace(copied)
    table = "<table id='board'><tr><td>0.9</td></tr></table>"
    write_report(workspace, workspace.pack("fake"), gallery=1, leaderboard=table, log=lambda line: None)
    assert table in page(copied).source and "first.html" in page(copied).links


def test_a_gallery_of_nothing_is_possible_and_less_is_not(copied):
    lensfold(copied, "report", *PACK, "--gallery", "0")
    assert page(copied, "first.html").cards == []
    workspace = Workspace(copied)
    with pytest.raises(InputError, match="0 or more"):
        write_report(workspace, workspace.pack("fake"), gallery=-1)


@pytest.mark.parametrize("path", ["data/fake/image_catalog2.0train.csv", "folds/fake.csv"])
def test_without_catalog_or_folds_there_is_an_error(copied, path):
    (copied / path).unlink()
    done = lensfold(copied, "report", *PACK, check=False)
    assert done.returncode == 1 and Path(path).name in done.stderr and "Traceback" not in done.stderr


def test_runs_of_one_fold_have_a_page(copied):
    for name in ("first", "radii"):
        for fold in (1, 2):
            (copied / "runs" / "fake" / name / f"fold{fold}" / "oof.csv").unlink()
    lensfold(copied, "report", *PACK, "--gallery", "2")
    assert "1 of 3 folds" in page(copied, "first.html").text and "1 of 3 folds" in page(copied, "radii.html").text


def test_missed_lenses_are_shared_out_among_the_sizes():
    objects = pd.DataFrame({"bin": [5] * 10 + [4] * 2 + [1] * 10}, index=range(22))
    table = pd.DataFrame({"label": 1.0, "logit": np.arange(22.0)[::-1]}, index=range(22))
    table.loc[21, "label"] = 0.0
    missed = lens_lists(table, objects, 8)["missed"]
    assert missed == [9, 8, 7, 11, 10, 20, 19, 18]
    assert len(lens_lists(table, objects, 100)["missed"]) == 21


def test_equal_errors_are_in_order_of_their_ids():
    truth = pd.Series({3: 1.0, 1: 1.0, 2: 1.0})
    assert worst_radii(truth, truth + pd.Series({1: 0.5, 2: -1.0, 3: 0.5}), 3) == [2, 1, 3]
