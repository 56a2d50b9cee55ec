"""The leaderboard as a whole: its two files, what is in which table, and that nothing bad stops it."""

import json
import shutil
from pathlib import Path

import pytest
from fakes.board import (
    board_workspace,
    code,
    difference,
    lens_scores,
    searcher_scores,
    write_history,
    write_scored_run,
    write_submission,
)
from fakes.catalog import catalog_text
from fakes.runs import reconfigure
from fakes.workspace import lensfold

from lensfold.data.catalog import read_catalog
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.leaderboard.board import build_board
from lensfold.pipeline.results.leaderboard import leaderboard_section, write_leaderboard
from lensfold.runs.logits import read_logits, write_logits

GOLDEN = Path(__file__).parents[2] / "golden" / "leaderboard.md"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A board with everything on it: see the golden file."""
    workspace, pack = board_workspace(tmp_path_factory.mktemp("board") / "w")
    views = {"one_view": difference(0.79, 0.83), **searcher_scores(is_limit=True)}
    first = write_scored_run(
        workspace, pack, "first", 0.83, noise=1.0, record=code(train="1", pixels="1"), scores=views
    )
    second = write_scored_run(
        workspace, pack, "second", 0.81, noise=1.2, seed=1, record=code(train="2", pixels="1"),
        experiment={"learner": {"dropout": 0.3}, "train": {"weight_decay": 0.01}},
    )  # fmt: skip
    write_scored_run(workspace, pack, "a|b <i>*x*", 0.9, folds=(1,), noise=0.9, seed=2)
    write_scored_run(workspace, pack, "unknown", None, seed=3)
    write_scored_run(workspace, pack, "other_rule", 0.95, scores={"rule": "any-source"})
    write_scored_run(workspace, pack, "radii", mse=0.25, noise=0.2, seed=4)
    write_scored_run(workspace, pack, "radii_worse", mse=0.5, noise=0.4, seed=5)
    half = workspace.run("p", "half_written")
    (half / "fold0").mkdir(parents=True)
    (half / "config.json").write_text(json.dumps(first))
    write_submission(workspace, pack, "default", {"first": first, "second": second})
    (workspace.submission(pack, "x").with_name("public_scores.csv")).write_text(
        "submission,metric,score,date,note\ndefault,auc,0.841,2026-11-20,first try\ndefault,f_beta,0.97,2026-11-21,\n"
    )
    write_history(workspace, pack, "first", 0.79)
    write_history(workspace, pack, "first", 0.83, digest(first))
    return workspace, pack


@pytest.fixture
def copy(filled, tmp_path):
    """A fresh copy of ``filled``."""
    shutil.copytree(filled[0].root, tmp_path / "w")
    workspace = type(filled[0])(tmp_path / "w")
    return workspace, workspace.pack("p")


def section(text: str, heading: str) -> str:
    """Everything under a heading of level 2."""
    return text.split(f"\n## {heading}")[1].split("\n## ")[0]


def names(text: str) -> list[str]:
    """The names of the first table of a section."""
    rows = [line for line in text.split("\n\n")[1].splitlines() if line.startswith("|")]
    return [row.split(" | ")[1].strip() for row in rows[2:]]


def test_golden(filled):
    _, (path, page) = write_leaderboard(*filled)
    assert path.read_text() == GOLDEN.read_text()
    assert path == filled[0].root / "submissions" / "p" / "README.md"
    assert page == filled[0].root / "runs" / "p" / "report" / "leaderboard.html"


def test_made_again_it_is_the_same_byte_for_byte(copy):
    _, paths = write_leaderboard(*copy)
    before = [path.read_bytes() for path in paths]
    shutil.rmtree(copy[0].root / "runs" / "p" / "report")
    write_leaderboard(*copy)
    assert [path.read_bytes() for path in paths] == before


def test_rules_and_tasks_have_tables_of_their_own(filled):
    board = build_board(*filled)
    found = {(standing.task, standing.rule): [row.name for row in standing.rows] for standing in board.standings}
    assert found["lens", "any-source"] == ["other_rule"]
    assert found["einstein-radius", "official-2020"] == ["radii", "radii_worse"]
    assert found["lens", "official-2020"] == ["default", "first", "second", "unknown", "a|b <i>*x*"]


def test_a_run_of_one_fold_is_marked_and_has_no_place(filled):
    text = write_leaderboard(*filled)[1][0].read_text()
    line = next(line for line in text.splitlines() if line.startswith("| –") and "1 of 3 folds" in line)
    assert "40" in line and names(section(text, "Lenses, rule official-2020"))[-1].startswith("a\\")


@pytest.mark.parametrize("sort", ["auc", "one_minus_f_beta", "auc_large", "21-40"])
def test_sorted_by_any_score(copy, sort):
    workspace, pack = copy
    for name, value in (("first", 0.2), ("second", 0.4)):
        path = workspace.run("p", name) / "score.json"
        content = json.loads(path.read_text())
        for key in ("auc", "one_minus_f_beta", "auc_large"):
            content[key]["value"] = value
        content["auc_by_size"][1]["value"] = value
        path.write_text(json.dumps(content))
    (standing,) = (s for s in build_board(workspace, pack, sort).standings if len(s.rows) == 5)
    order = [row.name for row in standing.rows if row.name in ("first", "second")]
    assert order == (["first", "second"] if sort == "one_minus_f_beta" else ["second", "first"])
    assert all(d is not None and d.n <= 120 for d in standing.differences[1:])


def test_what_a_searcher_gets_stands_with_its_prevalence(copy):
    workspace, pack = copy
    (page,) = [path for path in write_leaderboard(workspace, pack)[1] if path.suffix == ".md"]
    assert "### What a searcher gets with 1 lens in 2,000, of 100,000 objects" in page.read_text()
    path = workspace.run("p", "second") / "score.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **searcher_scores(prevalence=0.01)}))
    write_leaderboard(workspace, pack)
    text = page.read_text()
    assert "### What a searcher gets at several prevalences" in text
    assert "second (1 lens in 100) " in text and "0.400 (0.094–0.500)" in text


def test_an_unknown_score_is_refused(filled):
    with pytest.raises(InputError, match="--sort 'acu'.*auc, mean_fold_auc"):
        build_board(*filled, sort="acu")
    with pytest.raises(InputError, match="mse"):
        build_board(*filled, sort="mse")


def test_nothing_from_a_name_reaches_the_page_unescaped(copy):
    workspace, pack = copy
    name = "<script>alert(1)</script>&amp;|[x](y)`z`"
    folder = workspace.run("p", "first").rename(workspace.runs("p") / name.replace("/", "∕"))
    board, (path, page) = write_leaderboard(workspace, pack)
    text, html = path.read_text(), page.read_text()
    assert "<script" not in html and "<script" not in text and "&lt;script&gt;alert(1)" in html
    line = next(line for line in text.splitlines() if "script" in line and "0.830" in line)
    assert "\\|\\[x\\](y)\\`z\\`" in line and "&amp;amp;" in line
    assert leaderboard_section(board).split("</style>\n")[1] in html and folder.is_dir()


def test_html_is_well_formed_and_loads_nothing(filled):
    from xml.etree import ElementTree

    html = write_leaderboard(*filled)[1][1].read_text()
    assert "http" not in html and "src=" not in html and "@import" not in html
    body = html[html.index("<body>") : html.index("</body>")] + "</body>"
    assert len(list(ElementTree.fromstring(body).iter("table"))) >= 8


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "score.json").write_text('{"auc": '), "score.json: damaged"),
        (lambda folder: (folder / "score.json").write_text('{"pack": "p"}'), "rule: Field required"),
        (lambda folder: (folder / "score.json").write_text("[]"), "score.json: damaged"),
        (lambda folder: (folder / "score.json").write_bytes(b"\xff\xfe"), "score.json: damaged"),
        (lambda folder: (folder / "score.json").unlink(), "not scored yet, folds 0, 1, 2 complete"),
        (lambda folder: (folder / "config.json").unlink(), "no such run"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "has no experiment"),
        (lambda folder: (folder / "fold1" / "oof.csv").unlink(), "score.json is of fold 1 too"),
        (lambda folder: (folder / "fold1").rename(folder / "fold_old"), "fold_old: no fold is called so"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason(copy, damage, reason):
    workspace, pack = copy
    damage(workspace.run("p", "second"))
    board, (path, _) = write_leaderboard(workspace, pack)
    reasons = {problem.name: problem.reason for problem in board.problems}
    assert reason in reasons["second"] and "half_written" in reasons
    assert "first" in names(section(path.read_text(), "Lenses, rule official-2020"))


def test_numbers_that_are_none_are_damage(copy):
    workspace, pack = copy
    path = workspace.run("p", "second") / "score.json"
    content = path.read_text()
    for value, key in (("NaN", "auc.value"), ('"high"', "auc.value"), ("Infinity", "auc.value")):
        path.write_text(content.replace('"auc": {"value": 0.81', f'"auc": {{"value": {value}'))
        (problem,) = (p for p in build_board(workspace, pack).problems if p.name == "second")
        assert key in problem.reason


def test_a_run_trained_with_other_settings_than_it_says(copy):
    workspace, pack = copy
    path = workspace.run("p", "second") / "config.json"
    path.write_text(path.read_text().replace('"dropout": 0.3', '"dropout": 0.4'))
    board = build_board(workspace, pack)
    (problem,) = (p for p in board.problems if p.name == "second")
    assert "no fold is complete: fold 0 has settings" in problem.reason or "made incomplete" in problem.reason
    (row,) = (row for standing in board.standings for row in standing.rows if row.name == "default")
    assert row.notes == ("trained again with other settings since, or gone: second",)


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": {"combine": "logit-mean", "member": []}}', "null"])
def test_a_damaged_manifest_is_listed(copy, text):
    workspace, pack = copy
    workspace.submission(pack, "default").with_suffix(".json").write_text(text)
    assert any(p.name == "default.json" and "damaged" in p.reason for p in build_board(workspace, pack).problems)


def test_a_score_of_other_logits_is_not_shown(copy):
    """A fold that was trained again, with another outcome, after the run was scored."""
    workspace, pack = copy
    folder = workspace.run("p", "second")
    found = file_sha256(folder / "fold1" / "oof.csv")[:12]
    oof = read_logits(folder / "fold1" / "oof.csv")
    write_logits(folder / "fold1" / "oof.csv", oof.index.to_numpy(), -oof.to_numpy())
    reconfigure(folder)
    now = file_sha256(folder / "fold1" / "oof.csv")[:12]
    board = build_board(workspace, pack)
    (problem,) = (p for p in board.problems if p.name == "second")
    assert f"of other logits of fold 1 ({found}) than oof.csv ({now})" in problem.reason
    assert "lensfold score --experiment second" in problem.reason


def test_scores_of_other_labels_are_not_shown(copy):
    workspace, pack = copy
    found = file_sha256(pack.catalog)[:12]
    catalog = read_catalog(pack.catalog)
    catalog.loc[catalog.index[:30], "mag_eff"] = 0.5
    pack.catalog.write_text(catalog_text(catalog))
    now, board = file_sha256(pack.catalog)[:12], build_board(workspace, pack)
    reasons = {problem.name: problem.reason for problem in board.problems}
    assert f"score.json is of another catalog ({found}) than the pack has ({now})" in reasons["first"]
    whole = reasons["default.json"]
    assert f"scores are of another catalog ({found}) than pack p has ({now}). Run make predict again" in whole
    assert not any(standing.rows for standing in board.standings)


def test_a_manifest_of_another_version_is_listed(copy):
    workspace, pack = copy
    path = workspace.submission(pack, "default").with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    (problem,) = (p for p in build_board(workspace, pack).problems if p.name == "default.json")
    assert "format 1, and this version of lensfold has format 4. Run make predict again" in problem.reason


def test_a_submission_without_a_score_of_the_whole(copy):
    workspace, pack = copy
    path = workspace.submission(pack, "default").with_suffix(".json")
    manifest = json.loads(path.read_text())
    manifest["scores"] = [lens_scores("first", 0.83, (0, 1, 2), 120)]
    path.write_text(json.dumps(manifest))
    assert any(p.name == "default.json" and "no score of the whole" in p.reason for p in build_board(*copy).problems)


def test_a_damaged_history_is_listed(copy):
    workspace, pack = copy
    workspace.submission(pack, "history").write_bytes(b"time,\xff\n")
    board, (path, _) = write_leaderboard(workspace, pack)
    assert any(p.name == "history.csv" for p in board.problems) and "Earlier settings" not in path.read_text()


def test_scores_of_runs_that_are_gone_stay(copy):
    workspace, pack = copy
    shutil.rmtree(workspace.root / "runs")
    workspace.submission(pack, "default").with_suffix(".json").unlink()
    text = write_leaderboard(workspace, pack)[1][0].read_text()
    assert "No run has been scored yet." in text
    lines = section(text, "Lenses, rule official-2020").splitlines()
    assert [line.split("|")[-2].strip() for line in lines if "| first" in line] == ["0.790", "0.830"]


def test_other_folds_are_shown_by_their_hash(copy):
    workspace, pack = copy
    write_scored_run(workspace, pack, "plain", 0.7, config={"folds_hash": "0123456789" * 6})
    text = section(write_leaderboard(workspace, pack)[1][0].read_text(), "Lenses, rule official-2020")
    assert "3 (01234567)" in text and "3 (ffffffff)" in text


def test_other_pixels_are_shown_and_not_compared(copy):
    workspace, pack = copy
    write_scored_run(workspace, pack, "elsewhere", 0.7, config={"data_hash": "9" * 64})
    text = section(write_leaderboard(workspace, pack)[1][0].read_text(), "Lenses, rule official-2020")
    assert "other pixels than default (data 99999999)" in text
    line = next(line for line in text.splitlines() if "| elsewhere" in line)
    assert line.split(" | ")[4].strip() == "–"


def test_without_its_data_a_board_is_made_from_what_was_kept(copy):
    workspace, pack = copy
    _, (path, _) = write_leaderboard(workspace, pack)
    with_data = path.read_text()
    shutil.rmtree(workspace.root / "data")
    board, _ = write_leaderboard(workspace, pack)
    assert board.is_simulated is None and "simulated or not is unknown" in path.read_text()
    assert path.read_text().splitlines()[5:] == with_data.splitlines()[5:]
    shutil.rmtree(workspace.root / "runs" / "p" / "report")
    board, _ = write_leaderboard(workspace, pack)
    assert any("no paired difference to default" in problem.reason for problem in board.problems)


def test_command(copy):
    workspace, _ = copy
    done = lensfold(workspace.root, "leaderboard", "--pack", "p", "--sort", "f1")
    assert "README.md" in done.stdout and "not shown: half_written" in done.stdout
    assert "first: since it was trained, code changed" in done.stdout
    assert "Sorted by**: F1" in (workspace.root / "submissions" / "p" / "README.md").read_text()
    failed = lensfold(workspace.root, "leaderboard", "--pack", "p", "--sort", "x", check=False)
    assert failed.returncode == 1 and "no such score" in failed.stderr


def test_an_empty_workspace(tmp_path):
    done = lensfold(tmp_path, "leaderboard", "--pack", "p")
    assert "No run has been scored yet." in (tmp_path / "submissions" / "p" / "README.md").read_text()
    assert "README.md" in done.stdout
