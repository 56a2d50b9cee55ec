"""What a repair does, that it names all of it, and where it would have to guess."""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.submissions import EXPECTED, GOLDEN, IDS, written
from fakes.workspace import lensfold
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.paths import Workspace
from lensfold.submission.check import examine
from lensfold.submission.csv_file import read_submission, validate_submission, write_submission
from lensfold.submission.expected_ids import train_truth
from lensfold.submission.repair import repair

SCORES = ["0.5", "0.25", "0.125", "0.75", "1", "0.0625", "0.875", "0.03125"]
CLEAN = "".join(f"{i},{s}\n" for i, s in zip(IDS, SCORES, strict=True))
PACK = ("--pack", "fake")


def repaired(path: Path, target: Path, **options: object) -> list[str]:
    return repair(examine(path, EXPECTED, options.pop("kind", None)), target, EXPECTED, **options)


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("spaces", ["commas for spaces", "sorted by ID"]),
        ("tabs", ["commas for tabs"]),
        (
            "excel",
            [
                "byte order mark removed",
                "plain line ends",
                "commas for semicolons",
                "quotes removed",
                "points for commas",
                "header removed",
            ],
        ),
        ("index", ["index column dropped", "header removed"]),
        ("pandas_names", ["header removed"]),
        ("swapped", ["columns swapped"]),
        ("many_columns", ["only ID and score kept", "header removed"]),
        ("decimals", ["whole numbers for IDs written as decimals"]),
        (
            "untidy",
            ["last line ended", "blank lines removed", "comments removed", "spaces removed", "empty column dropped"],
        ),
        ("doubled", ["doubled rows dropped"]),
        ("unknown", ["unknown IDs dropped"]),
        ("utf16", ["UTF-8 for UTF-16"]),
        ("latin1", ["UTF-8 for another encoding", "comments removed"]),
    ],
)
def test_repairs_lead_to_the_same_clean_file(tmp_path, name, done):
    """Each of these golden files says the same eight scores."""
    target = tmp_path / "clean.csv"
    repairs = repaired(GOLDEN / f"check_{name}.csv", target)
    assert target.read_text() == CLEAN
    assert [words for words in repairs if words != "sorted by ID" or "sorted by ID" in done] == done
    assert validate_submission(target, IDS)["sorted"] is True


def test_rounding_is_clipped_and_said(tmp_path):
    assert repaired(GOLDEN / "check_rounding.csv", tmp_path / "o.csv") == ["clipped to 0 and 1"]
    assert (tmp_path / "o.csv").read_text() == CLEAN.replace(",1\n", ",1.0\n")


def test_a_clean_file_needs_none_and_may_get_a_header(tmp_path):
    path = written(tmp_path, CLEAN)
    assert repaired(path, tmp_path / "o.csv") == ["none was needed"]
    assert repaired(path, tmp_path / "p.csv", header=True) == ["header ID,score"]
    assert (tmp_path / "p.csv").read_text() == "ID,score\n" + CLEAN
    assert repaired(tmp_path / "p.csv", tmp_path / "q.csv") == ["header removed"]
    assert (tmp_path / "q.csv").read_text() == CLEAN


@pytest.mark.parametrize(
    ("name", "convert", "words"),
    [
        ("logits", "logit", "logits through the logistic function"),
        ("percent", "percent", "percentages divided by 100"),
    ],
)
def test_conversions_are_done_where_asked_for(tmp_path, name, convert, words):
    before = examine(GOLDEN / f"check_{name}.csv", EXPECTED).values
    assert words in repaired(GOLDEN / f"check_{name}.csv", tmp_path / "o.csv", convert=convert)
    values = read_submission(tmp_path / "o.csv")
    np.testing.assert_array_equal(values, expit(before) if convert == "logit" else before / 100)


def test_missing_and_empty_scores_are_filled_where_asked_for(tmp_path):
    done = repaired(GOLDEN / "check_missing.csv", tmp_path / "o.csv", fill=0.0)
    assert done == ["5 missing IDs got 0.0: 200004, 200005, 200006, 200007, 200008"]
    assert read_submission(tmp_path / "o.csv").loc[200004:].tolist() == [0.0] * 5
    path = written(tmp_path, CLEAN.replace("0.25", "nan").replace("0.75", ""))
    assert repaired(path, tmp_path / "p.csv", fill=0.125) == ["2 empty scores became 0.125: 200002, 200004"]
    assert (tmp_path / "p.csv").read_text() == CLEAN.replace("0.25", "0.125").replace("0.75", "0.125")


def test_objects_without_an_image_need_no_row(tmp_path):
    path = written(tmp_path, CLEAN.rsplit("\n", 2)[0] + "\n")
    assert repaired(path, tmp_path / "o.csv") == ["none was needed"]
    assert 200008 not in read_submission(tmp_path / "o.csv")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("contradictory", {}, "1 IDs stand there with different scores: 200003. Which one is meant"),
        ("contradictory", {"fill": 0.0}, "Which one is meant cannot be known"),
        ("missing", {}, "4 IDs are missing: 200004, 200005, 200006, 200007. Give them a score with --fill VALUE"),
        ("not_finite", {}, "Score 'nan' of ID 200002 is not a finite number"),
        ("not_finite", {"fill": 0.0}, "Score 'inf' of ID 200004 is not a finite number"),
        ("logits", {}, "no repair mends"),
        ("percent", {}, "Repair with --convert percent"),
        ("percent", {"convert": "log"}, "--convert log: expected logit or percent"),
        ("radii", {"convert": "logit"}, "this one is taken for radius"),
        ("ragged", {}, "columns: line 4: 4 columns"),
        ("names", {}, "is not a whole number"),
        ("missing", {"fill": 2.0}, "not a probability in [0, 1]"),
        ("missing", {"fill": float("nan")}, "is not a finite number"),
        ("gone", {}, "no such submission"),
    ],
)
def test_what_would_be_a_guess_is_refused(tmp_path, name, options, words):
    with pytest.raises(InputError) as error:
        repaired(GOLDEN / f"check_{name}.csv", tmp_path / "o.csv", **options)
    assert words in str(error.value) and not list(tmp_path.iterdir())


def test_ids_of_another_pack_are_refused(tmp_path):
    path = written(tmp_path, CLEAN.replace("20000", "30000"))
    with pytest.raises(InputError, match="it seems to be of another pack"):
        repaired(path, tmp_path / "o.csv", fill=0.0)


def test_nothing_is_overwritten(tmp_path):
    path = written(tmp_path, CLEAN)
    for target in (path, written(tmp_path, "mine", "other.csv"), tmp_path):
        with pytest.raises(InputError, match="exists already"):
            repaired(path, target)
    assert (tmp_path / "other.csv").read_text() == "mine"


def test_the_wrong_split_is_not_made_to_look_right(tmp_path):
    ids = pd.Index(range(400))
    scores = np.random.default_rng(0).random(400)
    expected = type(EXPECTED)(ids, ids[:0], "")
    path = written(tmp_path, "".join(f"{i} {s!r}\n" for i, s in enumerate(scores.tolist())))
    truth = pd.Series((scores > 0.5).astype(float), ids)
    with pytest.raises(InputError, match="train split"):
        repair(examine(path, expected), tmp_path / "o.csv", expected, truth_of=lambda _: truth)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([*CLEAN.split(), "200003,0.5", "7,0.5", "200001 0.5", "200002;0,25", "", "ID,score"])),
    st.none() | st.floats(-1, 2),
)
def test_what_is_written_is_valid_or_nothing_is(tmp_path, lines, fill):
    path, target = written(tmp_path, "\n".join(lines)), tmp_path / "o.csv"
    target.unlink(missing_ok=True)
    with contextlib.suppress(InputError):
        assert repaired(path, target, fill=fill)
        assert validate_submission(target, IDS, absent="omit")["absent"] <= 1
        return
    assert not target.exists()


# The command


def test_command_on_our_own_and_a_foreign_file(workspace):
    own = workspace / "submissions" / "fake" / "default.csv"
    write_submission(own, pd.Series(np.arange(8.0), IDS), expected_ids=IDS)
    out = lensfold(workspace, "check-submission", "submissions/fake/default.csv", *PACK).stdout
    assert out.endswith("\nvalid\n") and "8 rows; expected 8 (test files of pack fake)" in out
    written(workspace, CLEAN.replace(",", " "))
    out = lensfold(workspace, "check-submission", "s.csv", *PACK, "--repair", "clean.csv").stdout
    assert "clean.csv: written, and valid. Repairs:\n  commas for spaces\n" in out
    assert (workspace / "clean.csv").read_text() == CLEAN
    done = lensfold(workspace, "check-submission", "s.csv", check=False)
    assert done.returncode == 1 and done.stdout.endswith("\nnot valid: 1 error\n")
    assert "99983 IDs of 100000 are missing: 200009" in done.stdout


def test_command_recognises_the_train_split(workspace):
    """Sixty train objects scored by someone who knew them, in a pack whose test split has the same sixty IDs."""
    pack = Workspace(workspace).pack("fake")
    known = train_truth(pack, "probability")
    scores = (known + np.random.default_rng(0).random(len(known))) / 2
    for object_id in known.index:
        (workspace / "data/fake/test/Public/EUC_VIS" / f"imageEUC_VIS-{object_id}.fits").touch()
    (workspace / "data" / "fake" / "cache" / "test" / "manifest.json").unlink()
    written(workspace, "".join(f"{i},{s!r}\n" for i, s in scores.items()))
    done = lensfold(workspace, "check-submission", "s.csv", *PACK, check=False)
    words = "error      right split: against the train objects of the same IDs the AUC is 1.000"
    assert done.returncode == 1 and words in done.stdout
    assert "60 rows; expected 60 (test files of pack fake)" in done.stdout


def test_command_falls_back_to_the_official_ids_and_says_so(workspace):
    (workspace / "data" / "fake" / "cache" / "test" / "manifest.json").unlink()
    (workspace / "data" / "fake" / "test").rename(workspace / "elsewhere")
    written(workspace, CLEAN)
    out = lensfold(workspace, "check-submission", "s.csv", *PACK, check=False).stdout
    assert "warning    expected IDs: the challenge's official IDs, because data/fake has neither" in out
    (workspace / "data" / "fake" / "datapack2.0test.tar.gz").touch()
    out = lensfold(workspace, "check-submission", "s.csv", *PACK, check=False).stdout
    assert "is an archive and not cached yet; expected the pack's test split." in out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--fill", "0"], "belong to a repair"),
        (["--convert", "logit"], "belong to a repair"),
        (["--header"], "belong to a repair"),
        (["--kind", "rank"], "score = 'rank' is unknown"),
        (["--pack", "../x"], "pack name"),
        (["--repair", "s.csv"], "exists already"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, word):
    written(tmp_path, CLEAN)
    done = lensfold(tmp_path, "check-submission", "s.csv", *arguments, check=False)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]
