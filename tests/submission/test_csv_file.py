import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lensfold.errors import InputError
from lensfold.submission.csv_file import read_submission, validate_submission, write_submission

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED = list(range(200001, 200009))
#: Two of eight objects have no image; one logit lies above 36, where the probability ties at 1.
LOGITS = pd.Series(
    [1.0, -2.5, 0.0, 37.0, -750.0, 40.0], index=pd.Index([200002, 200001, 200004, 200005, 200007, 200008], name="ID")
)
#: Of the same objects, in arcsec.
RADII = pd.Series([1.5, 0.1, np.e, 12.25, 0.0, 3e-05], index=LOGITS.index)
OPTIONS = {
    "default": {},
    "header": {"header": True},
    "omit": {"absent": "omit"},
    "five_digits": {"digits": 5},
    "logit": {"score": "logit"},
    "logit_omit_header": {"score": "logit", "absent": "omit", "header": True, "digits": 3},
}
ROOMY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    return str(error.value)


# Writing


@pytest.mark.parametrize("name", OPTIONS)
def test_golden_files(tmp_path, name):
    path = tmp_path / "submission.csv"
    write_submission(path, LOGITS, expected_ids=EXPECTED, **OPTIONS[name])
    assert path.read_bytes() == (GOLDEN / f"submission_{name}.csv").read_bytes()


@pytest.mark.parametrize(
    ("name", "options"), [("radius", {}), ("radius_omit_header", {"absent": "omit", "header": True, "digits": 5})]
)
def test_golden_files_of_einstein_radii(tmp_path, name, options):
    path = tmp_path / "s_radius.csv"
    written = write_submission(path, RADII, expected_ids=EXPECTED, score="radius", **options)
    assert path.read_bytes() == (GOLDEN / f"submission_{name}.csv").read_bytes()
    assert (written["min"], written["max"], written["absent"]) == (0, 12.25, 2)
    options.pop("digits", None)
    assert {**validate_submission(path, EXPECTED, score="radius", **options), "absent": 2} == written
    values = read_submission(path, header="header" in options, score="radius")
    assert values[200005] == 12.25 and values.get(200003, 0) == 0


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf])
def test_radii_that_are_none_are_not_written(tmp_path, bad):
    path = tmp_path / "s_radius.csv"
    path.write_text("before")
    found = refusal(write_submission, path, RADII.replace(12.25, bad), expected_ids=EXPECTED, score="radius")
    assert "200005" in found and ("NaN or infinite" in found or "not an Einstein radius in arcsec" in found)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", OPTIONS)
def test_summary_and_validation_agree(tmp_path, name):
    path = tmp_path / "submission.csv"
    written = write_submission(path, LOGITS, expected_ids=EXPECTED, **OPTIONS[name])
    options = {key: value for key, value in OPTIONS[name].items() if key != "digits"}
    validated = validate_submission(path, EXPECTED, **options)
    assert {**validated, "absent": 2} == written
    assert validated["absent"] == (2 if "omit" in name else 0)
    assert written["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_summary(tmp_path):
    summary = write_submission(tmp_path / "s.csv", LOGITS, expected_ids=EXPECTED)
    del summary["sha256"]
    assert summary == {"rows": 8, "ties_at_top": 2, "min": 0.0, "max": 1.0, "absent": 2, "sorted": True}


def test_logits_do_not_tie_at_the_top(tmp_path):
    summary = write_submission(tmp_path / "s.csv", LOGITS, expected_ids=EXPECTED, score="logit")
    assert (summary["ties_at_top"], summary["max"], summary["min"]) == (1, 40.0, -751.0)


def test_few_digits_make_ties(tmp_path):
    logits = pd.Series(np.linspace(15, 20, 8), index=EXPECTED)
    assert write_submission(tmp_path / "s.csv", logits, expected_ids=EXPECTED)["ties_at_top"] == 1
    assert write_submission(tmp_path / "s.csv", logits, expected_ids=EXPECTED, digits=5)["ties_at_top"] == 8


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_absent_objects_rank_last(tmp_path, score):
    logits = LOGITS.clip(lower=-5)
    write_submission(tmp_path / "s.csv", logits, expected_ids=EXPECTED, score=score)
    values = read_submission(tmp_path / "s.csv")
    assert values[[200003, 200006]].max() < values[logits.index].min()


@ROOMY
@given(st.dictionaries(st.integers(0, 10**9), st.floats(-1e308, 1e308, allow_subnormal=False), min_size=1, max_size=20))
def test_round_trip_is_exact(tmp_path, logits):
    scores = pd.Series(logits, dtype=np.float64)
    path = tmp_path / "s.csv"
    for score, intended in (("logit", scores), ("probability", expit(scores))):
        write_submission(path, scores, expected_ids=scores.index, score=score)
        values = read_submission(path)
        assert values.index.tolist() == sorted(logits)
        assert (values == intended.sort_index()).all()


@ROOMY
@given(
    st.lists(st.floats(-60, 60, allow_subnormal=False), min_size=1, max_size=20),
    st.integers(1, 17),
    st.booleans(),
    st.booleans(),
)
def test_any_options_validate(tmp_path, logits, digits, header, omit):
    scores = pd.Series(logits, index=range(1, len(logits) + 1))
    options = {"header": header, "absent": "omit" if omit else "zero"}
    expected = [0, *scores.index]
    summary = write_submission(tmp_path / "s.csv", scores, expected_ids=expected, digits=digits, **options)
    assert summary["rows"] == len(logits) + (not omit) and summary["absent"] == 1
    values = read_submission(tmp_path / "s.csv", header=header)
    np.testing.assert_allclose(values[scores.index], expit(scores), rtol=0.6 * 10.0 ** (1 - digits), atol=0)


def test_earlier_file_is_replaced_whole(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("old\n" * 100)
    write_submission(path, LOGITS, expected_ids=EXPECTED)
    assert validate_submission(path, EXPECTED)["rows"] == 8
    assert [found.name for found in tmp_path.iterdir()] == ["s.csv"]


def test_scores_are_not_changed(tmp_path):
    before = LOGITS.copy()
    write_submission(tmp_path / "s.csv", LOGITS, expected_ids=iter(EXPECTED))
    pd.testing.assert_series_equal(LOGITS, before)


# Refusing to write


@pytest.mark.parametrize(
    ("logits", "options", "expected"),
    [
        (pd.Series([0.0, np.nan], index=EXPECTED[:2]), {}, "not written, IDs NaN or infinite in score: 200002."),
        (pd.Series([np.inf, 0.0], index=EXPECTED[:2]), {}, "not written, IDs NaN or infinite in score: 200001."),
        (pd.Series([0.0, 1.0], index=[200001, 7]), {}, "not written, IDs not expected: 7."),
        (pd.Series([0.0, 1.0], index=[200001, 200001]), {}, "not written, IDs doubled: 200001."),
        (pd.Series([], index=pd.Index([], dtype=int), dtype=float), {}, "not written, no object has a score."),
        (LOGITS, {"absent": "drop"}, "absent = 'drop' is unknown. Choose one of: zero, omit."),
        (LOGITS, {"score": "rank"}, "score = 'rank' is unknown. Choose one of: probability, logit, radius."),
        (LOGITS, {"digits": 0}, "digits = 0: expected a whole number from 1 to 17."),
        (LOGITS, {"digits": 18}, "digits = 18: expected a whole number from 1 to 17."),
        (LOGITS, {"digits": 5.0}, "digits = 5.0: expected a whole number"),
        (LOGITS, {"expected_ids": []}, "no IDs expected: the test split is empty."),
        (LOGITS, {"expected_ids": [5, 5]}, "expected IDs doubled: 5."),
        (pd.Series(0.0, index=range(7)), {}, "IDs not expected: 0, 1, 2, 3, 4, ...."),
    ],
)
def test_wrong_scores_or_options(tmp_path, logits, options, expected):
    path = tmp_path / "s.csv"
    path.write_text("as it was")
    assert expected in refusal(write_submission, path, logits, **{"expected_ids": EXPECTED, **options})
    assert path.read_text() == "as it was"
    assert [found.name for found in tmp_path.iterdir()] == ["s.csv"]


def test_disk_that_lies(tmp_path, monkeypatch):
    """What is read back is compared with what was meant, before the file takes its place."""
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: write(path, content.replace(b"0.5", b"0.25")))
    path = tmp_path / "s.csv"
    found = refusal(write_submission, path, LOGITS, expected_ids=EXPECTED)
    assert found == f"{path}: what was read back differs from what was written. Is the disk sound?"
    assert not list(tmp_path.iterdir())


# Validating


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("1,0.5\n2,0.5\n", {}, "1 IDs of 3 are missing: 3; expected every ID."),
        (
            "1,0.5\n2,0.5\n3,0.5\n9,0.5\n",
            {},
            "line 4: 1 IDs are not among the 3 expected: 9; expected IDs 1 to 3. Does the submission",
        ),
        ("ID,score\n9,0.5\n", {"header": True}, "line 2: 1 IDs are not among the 3 expected: 9;"),
        ("1,0.5\n2,0.5\n3,0.5\n2,0.5\n", {}, "line 4: ID 2 again, already in line 2 (1 rows too many, "),
        ("ID,score\n1,0.5\n1,0.5\n", {"header": True}, "line 3: ID 1 again, already in line 2 (1 rows too many, "),
        ("1,0.5\n2,nan\n3,0.5\n", {}, "line 2: score 'nan' of ID 2 is not a finite number (1 such, "),
        ("1,0.5\n2,\n3,0.5\n", {}, "line 2: score '' of ID 2 is not a finite number (1 such, "),
        ("1,0.5\n2,inf\n3,0.5\n", {}, "line 2: score 'inf' of ID 2 is not a finite number (1 such, "),
        ("1,0.5\n2,1e999\n3,0.5\n", {}, "line 2: score '1e999' of ID 2 is not a finite number (1 such, "),
        ("1,0.5\n2,1_0\n3,0.5\n", {}, "line 2: score '1_0' of ID 2 is not a finite number (1 such, "),
        ("1,0.5\n2,1.5\n3,0.5\n", {}, "line 2: score 1.5 of ID 2 is not a probability in [0, 1] (1 outside; all"),
        ("1,0.5\n2,0.5\n3,-0.1\n", {}, "line 3: score -0.1 of ID 3 is not a probability"),
        ("1 0.5\n2 0.5\n3 0.5\n", {}, "line 1: separated by spaces; expected commas. Write commas."),
        ("0,1,0.5\n1,2,0.5\n", {}, "line 1: 3 columns in '0,1,0.5', the first a saved pandas index;"),
        ("1,0.5\n\n2,0.5\n", {}, "line 2: 1 blank lines; expected none."),
        ("1,0.5\n2.0,0.5\n", {}, "line 2: ID '2.0' is not a whole number (1 such)"),
        ("1,0.5\n-2,0.5\n", {}, "line 2: ID '-2' is not a whole number (1 such)"),
        ("ID,score\n1,0.5\n", {}, "line 1: a header, but none is expected here"),
        ("1,0.5\n", {"header": True}, "line 1: found '1,0.5', expected the header 'ID,score'."),
        ("ID,score\n", {"header": True}, ": no rows, only a header"),
        ("", {}, ": the submission is empty;"),
        ("\n", {}, ": the submission is empty;"),
        ("1,0.5\n", {"absent": "drop"}, "absent = 'drop' is unknown"),
        ("1,0.5\n", {"score": "rank"}, "score = 'rank' is unknown"),
        ("1,0.5\n2,-1.5\n3,0\n", {"score": "radius"}, "line 2: score -1.5 of ID 2 is not an Einstein radius in arcsec"),
        ("1,0.5\n3,0\n", {"score": "radius"}, "1 IDs of 3 are missing: 2;"),
        ("ID,score\n1,1\n", {"score": "radius", "header": True}, "found 'ID,score', expected the header 'ID,theta_E'"),
        ("ID,theta_E\n1,1\n", {"score": "radius"}, "line 1: a header, but none is expected here"),
    ],
)
def test_wrong_file(tmp_path, content, options, expected):
    path = tmp_path / "s.csv"
    path.write_text(content)
    found = refusal(validate_submission, path, [1, 2, 3], **options)
    assert expected in found
    assert "unknown" in found or found.startswith(str(path))


def test_unsorted_file_is_valid_and_said_to_be_so(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("3,0.5\n1,0.25\n2,0.5")
    summary = validate_submission(path, [1, 2, 3])
    assert (summary["sorted"], summary["ties_at_top"], summary["min"]) == (False, 2, 0.25)
    assert read_submission(path).to_dict() == {3: 0.5, 1: 0.25, 2: 0.5}


def test_logits_outside_the_unit_interval(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("1,-3.5\n2,12\n")
    assert validate_submission(path, [1, 2, 3], score="logit", absent="omit")["absent"] == 1


def test_absent_file(tmp_path):
    assert "s.csv: no such submission;" in refusal(validate_submission, tmp_path / "s.csv", [1])


def test_unreadable_files(tmp_path):
    assert f"{tmp_path}: a folder;" in refusal(validate_submission, tmp_path, [1])
    (tmp_path / "s.csv").write_bytes(b"1,\xff\n")
    assert "the submission cannot be read" in refusal(read_submission, tmp_path / "s.csv")


@ROOMY
@given(st.binary(max_size=40) | st.text("0123456789,.-e\nIDscorenaif ", max_size=40).map(str.encode))
def test_any_file_is_validated_or_refused(tmp_path, content):
    (tmp_path / "s.csv").write_bytes(content)
    with contextlib.suppress(InputError):
        assert validate_submission(tmp_path / "s.csv", range(10), absent="omit")["rows"] > 0
