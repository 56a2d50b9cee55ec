"""Which trained networks score cutouts: the best first, and what to run where there is none."""

from pathlib import Path

import pytest
from fakes.board import board_workspace, write_scored_run, write_submission
from fakes.catalog import catalog_text, fake_catalog, with_radii
from fakes.runs import write_submission_settings

from lensfold.errors import InputError
from lensfold.leaderboard.candidates import candidates, why
from lensfold.paths import INJECTED, Workspace


def members(*names: str) -> str:
    return "".join(f'[[member]]\nexperiment = "{name}"\n' for name in names)


def another_pack(workspace: Workspace, name: str, comments: str, **aucs: float) -> None:
    """A pack whose catalog begins with these lines, and scored runs of it."""
    pack = workspace.pack(name)
    pack.catalog.parent.mkdir(parents=True)
    pack.catalog.write_text(comments + catalog_text(with_radii(fake_catalog(60))))
    for run, auc in aucs.items():
        write_scored_run(workspace, pack, run, auc, scores={"pack": name})


def order(workspace: Workspace, **chosen: str) -> list[tuple[str, str]]:
    return [(one.trained_on, one.submission) for one in candidates(workspace, **chosen)]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """Runs a (AUC 0.9), b and half of pack p, a submission of a and b that was made, and one of b and half."""
    workspace, pack = board_workspace(tmp_path)
    configs = {name: write_scored_run(workspace, pack, name, auc) for name, auc in (("a", 0.9), ("b", 0.8))}
    write_scored_run(workspace, pack, "half", 0.95, folds=(0,))
    write_scored_run(workspace, pack, "sizes", mse=0.3)
    write_submission_settings(tmp_path, members("a", "b"), "made")
    write_submission_settings(tmp_path, members("b", "half"), "unlike_folds")
    write_submission_settings(tmp_path, members("a", "untrained"), "untrained")
    write_submission(workspace, pack, "made", configs, 0.85)
    return workspace


def test_a_submission_comes_before_single_runs_and_of_these_the_higher_auc(workspace):
    assert order(workspace) == [("p", "made"), ("p", "half"), ("p", "a"), ("p", "b")]
    assert [one.value for one in candidates(workspace)] == [0.85, 0.95, 0.9, 0.8]
    assert order(workspace, submission="a") == [("p", "a")]


def test_a_submission_that_was_never_made_has_the_auc_of_its_best_member(workspace):
    write_submission_settings(workspace.root, 'radius = ["sizes"]\n' + members("a", "b"), "never")
    write_submission_settings(workspace.root, members("b"), "alone")
    found = {one.submission: one for one in candidates(workspace)}
    assert found["never"].value == 0.9 and found["never"].experiments == ("a", "b", "sizes")
    assert found["alone"].value == 0.8 and order(workspace)[:2] == [("p", "never"), ("p", "made")]


def test_euclids_sky_comes_first_simulated_or_real_with_arcs(workspace):
    another_pack(workspace, "wide", "# SYNTHETIC: by lensfold\n# profile euclid with variation, seed 1\n", c=0.7)
    another_pack(workspace, "mine", f"{INJECTED}, by lensfold\n", d=0.75)
    another_pack(workspace, "other", "# SYNTHETIC: by lensfold\n# profile euclid-like, seed 1\n", e=0.99)
    assert order(workspace)[:4] == [("mine", "d"), ("wide", "c"), ("p", "made"), ("other", "e")]
    assert order(workspace, trained_on="wide") == [("wide", "c")]


def test_why_says_only_what_decided(workspace):
    best, *others = candidates(workspace)
    assert why(best, others) == "submission made of pack p, the best of 4 that fit: several networks together"
    assert why(others[0], others[1:]) == "run half of pack p, the best of 3 that fit: the highest AUC out of fold"
    assert why(others[-1], []) == "run b of pack p, the only one that fits"
    another_pack(workspace, "wide", "# SYNTHETIC: by lensfold\n# profile euclid, seed 1\n", c=0.7, d=0.6)
    best, *others = candidates(workspace)
    assert why(best, others) == (
        "run c of pack wide, the best of 6 that fit: trained on Euclid's sky, then the highest AUC out of fold"
    )


def test_where_there_is_none_it_says_what_to_run_or_what_there_is(workspace, tmp_path):
    with pytest.raises(InputError, match=r"no network is trained here yet.*`make folds train PACK=euclid EXP.*` first"):
        candidates(Workspace(Path(tmp_path) / "empty"))
    with pytest.raises(InputError, match=r"--trained-on q --submission a: no such .* There are: made of p, half of p"):
        candidates(workspace, "q", "a")
