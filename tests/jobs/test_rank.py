"""Cutouts in, a ranked list out, through the command line: what is written, printed, refused, and not done twice."""

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from fakes.euclid import mer_hdus, written
from fakes.workspace import lensfold
from scipy.special import logit

from lensfold.errors import InputError
from lensfold.scoring.prevalence import purity_down_to

FOLDER = "my cutouts"


def with_gap(hdus: fits.HDUList) -> None:
    """Ten pixels of the noise map say that VIS has none there."""
    hdus["VIS_RMS"].data[100, 100:110] = 1e16


def without_sky(hdus: fits.HDUList) -> None:
    del hdus["NIR_J_FLUX"]


def write_cutouts(folder: Path, changes: dict[str, Callable | None]) -> None:
    """MER cutouts of noise, each called as its key and elsewhere on the sky, after a change."""
    for number, (name, change) in enumerate(changes.items()):
        hdus = mer_hdus(seed=7 * number)
        hdus["VIS_FLUX"].data *= np.float32(1 / 400)  # noise as Euclid's is
        for hdu in hdus[1:]:
            if "CRVAL2" in hdu.header:
                hdu.header["CRVAL2"] += 0.01 * number
        if change:
            change(hdus)
        written(folder / f"{name}.fits", hdus)


@pytest.fixture(scope="module")
def ranked(fitted_workspace, tmp_path_factory):
    """A workspace with a ranked folder, and what that printed; not to be written to."""
    workspace = tmp_path_factory.mktemp("ranked") / "w"
    shutil.copytree(fitted_workspace, workspace)
    (workspace / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
    names = dict.fromkeys((f"-{10**17 + 3}", "NA", 'a, "b" <i>'))
    write_cutouts(workspace / FOLDER / "deep", {**names, "gap": with_gap, "lacking": without_sky})
    return workspace, lensfold(workspace, "rank", FOLDER).stdout


@pytest.fixture
def copied(ranked, tmp_path) -> Path:
    """A copy of the workspace, to write to, as if its cutouts had been there from the first."""
    shutil.copytree(ranked[0], tmp_path / "w")
    record = tmp_path / "w" / "data" / "my_cutouts" / ".ranked-from.json"
    record.write_text(record.read_text().replace(str(ranked[0]), str(tmp_path / "w")))
    return tmp_path / "w"


class Page(HTMLParser):
    """The links and the cards of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.cards = [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.links += [given[name] for name in ("href", "src") if given.get(name)]
        if given.get("class") == "card":
            self.cards.append(given)


def listed(workspace: Path) -> pd.DataFrame:
    return pd.read_csv(workspace / "data" / "my_cutouts" / "ranked.csv", keep_default_na=False)


def times(folder: Path) -> dict[str, int]:
    """Time of change of every file of a folder but those that say when something ran or was looked at.

    Files of the last two seconds are looked at once more, and then noted in sources.npy.
    """
    paths = [
        path for path in folder.rglob("*") if path.is_file() and not re.search(r"\.lock|^sources\.npy$", path.name)
    ]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def test_the_list_has_the_submissions_scores_and_the_users_names(ranked):
    workspace, _ = ranked
    table, pack = listed(workspace), workspace / "data" / "my_cutouts"
    columns = "rank score purity_on_fake name ra dec flags label before ID file"
    assert table.columns.tolist() == columns.split()
    assert table["rank"].tolist() == [1, 2, 3, 4] and table["score"].is_monotonic_decreasing
    assert set(table["name"]) == {f"-{10**17 + 3}", "NA", 'a, "b" <i>', "gap"}
    run = workspace / "submissions" / "my_cutouts" / "default.csv"
    scores = pd.read_csv(run, header=None, index_col=0)[1]
    np.testing.assert_array_equal(scores[table["ID"]], table["score"])
    objects = pd.read_csv(pack / "objects.csv", index_col="ID", keep_default_na=False).loc[table["ID"]]
    for column in ("name", "ra", "dec", "file"):
        assert objects[column].tolist() == table[column].tolist()
    assert table.set_index("name")["flags"].to_dict() == dict.fromkeys(table["name"], "") | {
        "gap": "mended pixels: VIS 10"
    }


def test_the_purity_is_named_after_the_pack_that_it_rests_on(ranked):
    workspace, printed = ranked
    purity = listed(workspace)["purity_on_fake"]
    assert purity.is_monotonic_decreasing and purity.between(0, 1, inclusive="neither").all()
    passing = json.loads((workspace / "submissions" / "my_cutouts" / "default.json").read_text())["ensemble"]["passing"]
    expected = purity_down_to(passing, logit(listed(workspace)["score"]), 1 / 2000)
    np.testing.assert_allclose(purity, expected, rtol=1e-3)
    words = " ".join(printed.split())
    assert "purity_on_fake: the expected share of lenses down to each rank on a sky like that of pack fake" in words
    assert f"1 lens in 2,000, from {passing['lenses']} lenses and {passing['others']} non-lenses" in words
    assert "Of my_cutouts it is no score: there it may be far lower." in words
    assert "purity_on_fake" in (workspace / "data" / "my_cutouts" / "ranked.html").read_text()


def test_the_prevalence_is_asked_for_and_no_purity_is_made_up(copied):
    before = listed(copied)["purity_on_fake"]
    printed = lensfold(copied, "rank", FOLDER, "--prevalence", "0.01").stdout
    assert "1 lens in 100," in " ".join(printed.split()) and (listed(copied)["purity_on_fake"] > before).all()
    (copied / "submissions" / "default.toml").write_text('combine = "rank-mean"\n[[member]]\nexperiment = "kernel"\n')
    printed = lensfold(copied, "rank", FOLDER).stdout
    assert "purity_on_fake is empty: the score is a mean of ranks within the list" in " ".join(printed.split())
    assert set(listed(copied)["purity_on_fake"]) == {""}


def test_the_page_shows_them_in_this_order_and_links_to_the_disk_alone(ranked):
    workspace, _ = ranked
    table, folder = listed(workspace), workspace / "data" / "my_cutouts"
    page = Page(folder / "ranked.html")
    assert [card["data-name"] for card in page.cards] == table["name"].tolist()
    assert [card["data-flagged"] for card in page.cards] == ["yes" if flag else "no" for flag in table["flags"]]
    for card, row in zip(page.cards, table.to_dict("records"), strict=True):
        assert int(card["data-id"]) == row["ID"] and card["data-rank"] == str(row["rank"])
        assert [float(card[f"data-{name}"]) for name in ("score", "ra", "dec")] == [row["score"], row["ra"], row["dec"]]
    assert len(page.links) == 4 + 2
    for link in page.links:
        assert not re.match(r"[a-z]+:|/", link) and (folder / unquote(link)).is_file(), link


def test_what_is_printed_ends_with_the_first_objects_the_counts_and_the_page(ranked):
    workspace, printed = ranked
    words = " ".join(printed.split())
    assert "my_cutouts is scored by submission default of pack fake, the best of 2 that fit" in words
    assert "How good these scores are on my_cutouts is not known: it has no labels." in words
    assert "since last" not in printed and "make predict" not in printed
    lines = printed.rstrip().splitlines()
    assert lines[-1] == "look, mark, export: data/my_cutouts/ranked.html"
    assert lines[-3] == "4 objects ranked; 1 skipped, with the reasons in data/my_cutouts/skipped.csv."
    first = listed(workspace).iloc[0]
    assert lines[-7].split()[:2] == ["1", f"{first['score']:.4f}"] and f"{first['dec']:+.5f}" in lines[-7]
    assert max(map(len, lines[-10:])) <= 100


def test_again_nothing_is_made_and_another_file_is_noticed(ranked):
    workspace, printed = ranked
    before = times(workspace)
    again = lensfold(workspace, "rank", FOLDER).stdout
    assert times(workspace) == before and "import" not in again and again.splitlines()[-8:] == printed.splitlines()[-8:]


def test_cutouts_that_were_moved_are_imported_anew_from_there(copied):
    (copied / FOLDER).rename(copied / "elsewhere")
    lensfold(copied, "rank", "elsewhere", "--pack", "my_cutouts")
    assert set(listed(copied)["file"].str.split("/").str[0]) == {"elsewhere"}


def test_a_pack_that_is_there_is_ranked_as_it_is_and_an_object_without_score_comes_last(copied):
    workspace = copied
    unusable = int(listed(workspace)["ID"][0])
    image = workspace / "data" / "my_cutouts" / "Public" / "EUC_H" / f"imageEUC_H-{unusable}.fits"
    with fits.open(image, mode="update") as hdus:
        hdus[0].data[:20] = np.nan
    printed = lensfold(
        workspace, "rank", "--pack", "my_cutouts", "--trained-on", "fake", "--submission", "kernel"
    ).stdout
    table = listed(workspace)
    assert "scored by run kernel of pack fake, the only one that fits" in " ".join(printed.split())
    assert (
        table["ID"].iloc[-1] == unusable
        and table["rank"].tolist() == ["1", "2", "3", ""]
        and table["score"].iloc[-1] == 0
    )
    assert table["flags"].iloc[-1].startswith("not scored: ") and "pixels are bad" in table["flags"].iloc[-1]
    assert "3 objects ranked, 1 not scored" in printed
    page = Page(workspace / "data" / "my_cutouts" / "ranked.html")
    assert page.cards[-1]["data-id"] == str(unusable) and page.cards[-1]["data-rank"] == ""


def refused(workspace: Path, *arguments: str) -> str:
    done = lensfold(workspace, "rank", *arguments, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    return " ".join(done.stderr.split())


def test_without_a_network_it_says_what_to_run_before_anything_is_made(fake_workspace, tmp_path):
    shutil.copytree(fake_workspace, tmp_path / "w", ignore=shutil.ignore_patterns("runs"))
    write_cutouts(tmp_path / "cutouts", {"one": None})
    message = refused(tmp_path / "w", str(tmp_path / "cutouts"))
    assert "no network is trained here yet" in message and "`make folds train PACK=euclid" in message
    assert not (tmp_path / "w" / "data" / "cutouts").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["other/my cutouts"], ["my_cutouts: has the cutouts of ", "other/my cutouts", "--pack <name>"]),
        (["other/my cutouts", "--pack", "fake"], ["data/fake: there is a pack already (found image_catalog2.0train"]),
        ([FOLDER, "--pack", "made"], ["data/made: there is a pack already that was not made from these cutouts"]),
        ([FOLDER, "--submission", "none"], ["--submission none: no such networks", "default of fake, kernel of fake"]),
        (["nowhere"], ["nowhere: no such file or folder"]),
        ([], ["nothing to rank: give Euclid cutouts"]),
        (["empty"], ["empty: an empty folder"]),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(copied, arguments, words):
    workspace = copied
    write_cutouts(workspace / "other" / FOLDER, {"one": None})
    (workspace / "empty").mkdir()
    (workspace / "data" / "made").mkdir()
    (workspace / "data" / "made" / "objects.csv").write_text("ID,name\n")
    before = times(workspace)
    message = refused(workspace, *arguments)
    assert all(word in message for word in words), message
    assert times(workspace) == before and not (workspace / "data" / "empty").exists()


def test_other_files_are_noticed_and_a_pack_that_no_network_fits_is_named(copied, monkeypatch):
    def check(workspace, pack, trained_on, name):
        if pack.name == "my_cutouts-10":
            raise InputError("too small.")

    monkeypatch.setattr("lensfold.jobs.rank.check_frames", check)
    before = listed(copied).set_index("name")["ID"]
    (copied / FOLDER / "deep" / "lacking.fits").unlink()
    written(copied / FOLDER / "small.fits", mer_hdus((120, 120)))
    lines = lensfold(copied, "rank", FOLDER).stdout.splitlines()
    assert "4 objects ranked; none skipped." in lines
    assert "my_cutouts-10 is not ranked: no trained network fits its frames. Of the best one: too small." in lines
    assert lines[-1].endswith("data/my_cutouts/ranked.html")
    assert listed(copied).set_index("name")["ID"].to_dict() == before.to_dict()  # marks find their objects again
    message = refused(copied, "--pack", "my_cutouts-10")
    assert message == "error: no trained network fits its frames. Of the best one: too small."
    monkeypatch.undo()  # the network sees 64 pixels, and fits both
    printed = lensfold(copied, "rank", FOLDER).stdout
    assert "4 objects ranked" in printed and "pack my_cutouts-10" in printed and "1 object ranked" in printed
    assert len(Page(copied / "data" / "my_cutouts-10" / "ranked.html").cards) == 1


def test_a_round_of_marks_is_left_out_of_the_next_page(copied):
    """Ranked, marked, labelled, ranked again: from the same networks, until people train on their labels."""
    table = listed(copied)
    cards = {int(card["data-id"]): card for card in Page(copied / "data" / "my_cutouts" / "ranked.html").cards}
    marks = dict(zip(table["ID"][[0, 2]], ("A", "not a lens"), strict=True))
    rows = [f"{i},ranked,{mark},,{cards[i]['data-pixels']}" for i, mark in marks.items()]
    (copied / "ada.csv").write_text("\n".join(["ID,list,mark,note,pixels", *rows]) + "\n")
    lensfold(copied, "label", "--pack", "my_cutouts", "--marks", "ada.csv")
    words = " ".join(lensfold(copied, "rank", FOLDER).stdout.split())
    assert "submission default of pack fake" in words
    again = listed(copied)
    assert again["score"].tolist() == table["score"].tolist()
    assert again["label"].tolist() == ["1.0", "", "0.0", ""] and again["before"].tolist() == [1, 2, 3, 4]
    page = Page(copied / "data" / "my_cutouts" / "ranked.html")
    assert [int(card["data-id"]) for card in page.cards] == again["ID"][[1, 3]].tolist()


def test_objects_whose_label_would_teach_most_on_request(copied):
    """Labelled ones are none; all three orders are known of a kernel machine of several folds."""
    table = listed(copied)
    (copied / "data/my_cutouts/labels.csv").write_text(f"ID,label\n{table['ID'][0]},1\n{table['ID'][1]},0\n")
    lensfold(copied, "rank", FOLDER, "--teach", "5")
    found = pd.read_csv(copied / "data/my_cutouts/teach.csv")
    assert sorted(found["ID"]) == sorted(table["ID"][2:]) and found["teach"].is_monotonic_decreasing
    shares = found[["near", "disagree", "unseen"]]
    np.testing.assert_allclose(shares.mean(axis=1), found["teach"], atol=1e-3)
    np.testing.assert_allclose(shares.sum(), 1)  # of two objects: a quarter and three, or a half each
    cards = Page(copied / "data/my_cutouts/ranked.html").cards
    assert [card["data-teaches"] for card in cards] == ["yes", "yes"]
    lensfold(copied, "rank", FOLDER)
    assert not (copied / "data/my_cutouts/teach.csv").exists()
