"""Files of many hands: what is found in them, and that none crashes, hangs or passes by mistake."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.submissions import EXPECTED, GOLDEN, IDS, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lensfold.submission.check import Expected, examine
from lensfold.submission.check_scores import CHANCE, train_agreement
from lensfold.submission.csv_file import write_submission
from lensfold.submission.expected_ids import official
from lensfold.submission.parse import read_rows

ROOMY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def findings(path: Path, expected: Expected | None = EXPECTED, **options: object) -> dict[str, tuple[str, str]]:
    """Severity and text of each check that does not say "fine"."""
    found = examine(path, expected, **options).findings
    return {finding.check: (finding.severity, finding.text()) for finding in found if finding.severity != "fine"}


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("check_*.csv")), ids=lambda path: path.stem[6:])
def test_golden_reports(path):
    """What is said of each kind of file, word by word; tests/golden/check_*.txt."""
    lines = [f"{f.severity} {f.check}: {f.text()}" for f in examine(path, EXPECTED).findings]
    assert "\n".join(lines) + "\n" == path.with_suffix(".txt").read_text()


def test_what_is_read_of_a_strange_file_is_what_it_means():
    """Every golden file that can be repaired says the same eight scores."""
    scores = [0.5, 0.25, 0.125, 0.75, 1, 0.0625, 0.875, 0.03125]
    for name in ("spaces", "tabs", "excel", "index", "pandas_names", "swapped", "many_columns", "untidy", "utf16"):
        values = examine(GOLDEN / f"check_{name}.csv", EXPECTED).values.sort_index()
        assert values.to_dict() == dict(zip(IDS, scores, strict=True)), name


# Nothing crashes


@ROOMY
@given(
    st.binary(max_size=200)
    | st.text("0123456789,.;-+e \t\n\r\"'#IDscorenaif\ufeff", max_size=120).map(str.encode)
    | st.text(max_size=60).map(lambda text: text.encode("utf-16"))
)
def test_any_bytes_are_examined(tmp_path, content):
    path = written(tmp_path, content)
    for expected in (EXPECTED, None):
        for kind in (None, "radius", "logit"):
            report = examine(path, expected, kind, lambda _: pd.Series(1.0, IDS))
            assert all(finding.text() and "\n" not in finding.text() for finding in report.findings)
            assert report.errors or len(report.values)


@ROOMY
@given(
    st.lists(st.floats(-60, 60, allow_subnormal=False), min_size=8, max_size=8),
    st.integers(1, 17),
    st.booleans(),
    st.sampled_from(["zero", "omit"]),
    st.sampled_from(["probability", "logit", "radius"]),
)
def test_every_file_that_the_kit_writes_passes(tmp_path, logits, digits, header, absent, score):
    path = tmp_path / ("s_radius.csv" if score == "radius" else "s.csv")
    scores = pd.Series(logits, IDS).abs() if score == "radius" else pd.Series(logits, IDS)
    options = {"header": header, "absent": absent, "digits": digits, "score": score}
    summary = write_submission(path, scores.iloc[:-1], expected_ids=IDS, **options)
    report = examine(path, EXPECTED, "logit" if score == "logit" else None)
    assert not report.errors and report.kind == score
    assert report.summary() == {key: value for key, value in summary.items() if key != "sha256"} | {
        "absent": 0 if absent == "zero" else 1
    }


def test_files_that_are_none(tmp_path):
    assert "a folder" in findings(tmp_path)["file"][1]
    assert "no such submission" in findings(tmp_path / "gone.csv")["file"][1]
    assert "cannot be read" in findings(Path("a\0b"))["file"][1]
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in findings(tmp_path / "pipe")["file"][1]
    assert "not a regular file" in findings(Path("/dev/zero"))["file"][1]
    for content, word in (("", "empty"), ("\n \n", "empty"), ("# nothing\n", "empty"), ("ID,score\n", "only a header")):
        assert word in findings(written(tmp_path, content))["content"][1]
    for content, word in ((b"\x1f\x8b12", "gzip"), (b"PK\x03\x0412", "zip")):
        assert word in findings(written(tmp_path, content))["file"][1]
    assert "zero byte" in findings(written(tmp_path, b"1,0.5\n2,\0\n"))["encoding"][1]


def test_a_file_of_ten_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "s.csv"
    with path.open("wb") as stream:
        stream.truncate(10**10)
    started = time.process_time()
    assert "10,000 MB, not read; expected at most 1 MB" in findings(path)["file"][1]
    assert time.process_time() - started < 1


def test_a_file_of_too_many_lines_is_not_parsed(tmp_path):
    assert "20000 lines, not read" in findings(written(tmp_path, "\n1" * 20000))["content"][1]


def test_digits_without_end_take_time_by_their_length_alone(tmp_path):
    started = time.process_time()
    found = findings(written(tmp_path, "200001," + "9" * 10**6 + "x\n"))
    assert "is not a finite number" in found["scores"][1] and len(found["scores"][1]) < 300
    assert time.process_time() - started < 5


def test_a_hundred_thousand_rows(tmp_path):
    """About a second; the limit here leaves room for a busy machine."""
    expected, scores = official(), np.random.default_rng(0).random(100000)
    path = written(tmp_path, "".join(f"{i},{s!r}\n" for i, s in zip(expected.ids, scores.tolist(), strict=True)))
    started = time.process_time()
    report = examine(path, expected)
    assert time.process_time() - started < 6
    assert {finding.severity for finding in report.findings} == {"fine", "unchecked"}
    np.testing.assert_array_equal(report.values, scores)


def test_the_official_ids_are_those_of_the_challenge():
    expected = official()
    assert (len(expected.ids), expected.ids[0], expected.ids[-1]) == (100000, 200001, 300000)
    assert len(expected.without_images) == 9 and expected.without_images.isin(expected.ids).all()


# What is found


@pytest.mark.parametrize(
    ("scores", "looks"),
    [
        ([55.0, 12.5, 99.0, 3.0, 80.0], "percentages. Repair with --convert percent"),
        ([-3.0, 2.0, 8.0, 0.5, 1.0], "logits. Repair with --convert logit"),
        ([-3.0, -0.1, -8.0, 0.0, -1.0], "logarithms of probabilities"),
        ([2.6, 1.4, 5.0, 3.3, 2.2], "Einstein radii in arcsec. If so, give --kind radius"),
        ([1.0000001, 0.5, 0.2, -1e-8, 1.0], "rounding in 32 bits"),
        ([0.5, 0.2, 1000.0, 0.1, 0.3], "no kind of score known here"),
    ],
)
def test_scores_outside_their_range_are_told_apart(tmp_path, scores, looks):
    path = written(tmp_path, "".join(f"{i},{s!r}\n" for i, s in zip(IDS, scores, strict=False)))
    severity, text = findings(path)["range"]
    assert severity == "error" and f"it looks like {looks}" in text


@pytest.mark.parametrize(
    ("radii", "word"),
    [
        ([1.2e-5, 2e-5, 3e-5], "radians"),
        ([0.9, 0.1, 0.3], "probabilities"),
        ([2.5, 30.0, 3.0], "1, as 30 arcsec of ID 200002"),
    ],
)
def test_unlikely_radii_are_warned_of(tmp_path, radii, word):
    path = written(tmp_path, "".join(f"{i},{s!r}\n" for i, s in zip(IDS, radii, strict=False)), "x_radius.csv")
    severity, text = findings(path)["plausible radii"]
    assert severity == "warning" and word in text


@pytest.mark.parametrize(
    ("name", "first", "kind"),
    [
        ("s.csv", "200001,0.5", "probability"),
        ("s_radius.csv", "200001,0.5", "radius"),
        ("s.csv", "ID,theta_E", "radius"),
        ("s.csv", "id,Einstein radius", "radius"),
        ("s_radius.csv", "ID,score", "probability"),
    ],
)
def test_the_kind_is_guessed(tmp_path, name, first, kind):
    assert examine(written(tmp_path, first + "\n200002,1\n", name), EXPECTED).kind == kind
    assert examine(tmp_path / name, EXPECTED, "logit").kind == "logit"


def test_saturated_scores_are_warned_of(tmp_path):
    expected = Expected(pd.Index(range(1000)), pd.Index([]), "")
    scores = np.random.default_rng(0).random(1000)
    scores[:64] = 1
    path = written(tmp_path, "".join(f"{i},{s:.5f}\n" for i, s in enumerate(scores)))
    assert findings(path, expected)["ties at the top"] == (
        "warning",
        "64 objects share the highest score, 1.0; expected one object. The official measure counts one false positive "
        "like a thousand missed lenses. Keep more digits.",
    )
    assert "digits" not in findings(path, expected)
    coarse = written(tmp_path, "".join(f"{i},{s:.1f}\n" for i, s in enumerate(scores)))
    severity, text = findings(coarse, expected)["digits"]
    assert severity == "warning" and text.startswith("11 distinct scores of 1000 objects, at most 2 significant digits")


def test_rows_with_an_id_of_zero_and_a_score_of_one_are_no_header(tmp_path):
    """pandas' own column names look like such a row."""
    path = written(tmp_path, "0,1\n1,0.5\n2,0.25\n")
    assert read_rows(path, pd.Index([0, 1, 2])).header is None
    assert read_rows(path, pd.Index([1, 2])).header == ("0", "1")


def test_no_image_no_row_is_only_warned_of(tmp_path):
    path = written(tmp_path, "".join(f"{i},0.{i}\n" for i in IDS[:-1]))
    assert findings(path)["IDs missing"][0] == "warning" and not examine(path, EXPECTED).errors


# The right split


def labels_and_scores(n: int, shift: float, seed: int) -> tuple[pd.Series, pd.Series]:
    generator = np.random.default_rng(seed)
    labels = pd.Series(generator.integers(0, 2, n).astype(float))
    return labels, pd.Series(generator.normal(shift * labels, 1))


def test_the_agreement_is_the_auc():
    labels, scores = labels_and_scores(500, 0.7, 1)
    strength, _, words = train_agreement(scores.round(1), labels, "probability")
    area = roc_auc_score(labels, scores.round(1))
    assert strength == pytest.approx(area - 0.5) and words == f"the AUC is {area:.3f}"


@pytest.mark.parametrize("kind", ["probability", "radius"])
def test_perfect_agreement_of_few_objects_is_no_proof(kind):
    """Of eight objects a perfect order has a chance of 2 in 70 (four lenses) or in 8!, both above the limit."""
    scores = pd.Series(np.arange(8.0))
    truth = (scores > 3).astype(float) if kind == "probability" else scores
    strength, chance, _ = train_agreement(scores, truth, kind)
    assert strength == pytest.approx(0.5 if kind == "probability" else 1.0) and chance > 2 / 70 / 10


@pytest.mark.parametrize("n", [8, 200, 5000])
def test_chance_does_not_look_like_the_train_split(n):
    for seed in range(100):
        labels, scores = labels_and_scores(n, 0.0, seed)
        if labels.nunique() == 2:
            assert train_agreement(scores, labels, "probability")[1] > CHANCE
            radii = pd.Series(np.random.default_rng([1, seed]).lognormal(1.0, 0.4, n))
            assert train_agreement(scores, radii, "radius")[1] > CHANCE


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["probability", "radius"])
def test_scores_of_the_train_split_are_recognised(tmp_path, sign, kind):
    labels, scores = labels_and_scores(400, 1.2, 3)
    values = 1 / (1 + np.exp(-sign * scores))
    truth = labels.astype(float) if kind == "probability" else np.exp(scores)
    path = written(tmp_path, "".join(f"{i},{s!r}\n" for i, s in values.items()))
    expected = Expected(labels.index, labels.index[:0], "")
    severity, text = findings(path, expected, kind=kind, truth_of=lambda _: truth)["right split"]
    assert severity == "error" and "Predict the test split" in text
    other = truth.sample(frac=1, random_state=5).set_axis(truth.index)
    assert "right split" not in findings(path, expected, kind=kind, truth_of=lambda _: other)


def test_a_weak_agreement_that_is_no_chance_is_a_warning(tmp_path):
    labels, scores = labels_and_scores(50000, 0.1, 3)
    path = written(tmp_path, "".join(f"{i},{float(1 / (1 + np.exp(-s)))!r}\n" for i, s in scores.items()))
    expected = Expected(labels.index, labels.index[:0], "")
    assert findings(path, expected, truth_of=lambda _: labels)["right split"][0] == "warning"


def test_objects_without_a_label_or_an_image_do_not_count(tmp_path):
    """Perfect agreement on eight objects is no proof, and without truth nothing is claimed."""
    path = written(tmp_path, "".join(f"{i},0.{i}\n" for i in IDS))
    truth = pd.Series([0.0, 0, 0, np.nan, 1, 1, 1, 0], IDS)
    report = examine(path, EXPECTED, truth_of=lambda _: truth)
    found = next(finding for finding in report.findings if finding.check == "right split")
    assert found.severity == "fine" and "AUC is 1.000" in found.found
    for nothing in (None, pd.Series(np.nan, IDS), pd.Series(1.0, IDS)):
        assert findings(path, truth_of=lambda _, nothing=nothing: nothing)["right split"][0] == "unchecked"
