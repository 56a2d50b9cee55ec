"""The hand-entered file of public scores: read whole, or refused by line."""

import contextlib
import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lensfold.errors import InputError
from lensfold.submission.public_scores import PublicScore, known_submissions, read_public_scores

HEADER = "submission,metric,score,date,note\n"
KNOWN = ["best", "default"]
GOOD = HEADER + 'best,auc,0.91,2026-07-01,\ndefault,f_beta,1e-3,2026-07-02,"late, but in"\n'


def written(folder: Path, content: str) -> Path:
    path = folder / "public_scores.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_scores_are_read_in_order(tmp_path):
    assert read_public_scores(written(tmp_path, GOOD), KNOWN) == [
        PublicScore("best", "auc", 0.91, datetime.date(2026, 7, 1), ""),
        PublicScore("default", "f_beta", 0.001, datetime.date(2026, 7, 2), "late, but in"),
    ]


@pytest.mark.parametrize(
    "content", [GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.replace("\n", "\n\n"), GOOD[:-1]]
)
def test_what_a_spreadsheet_makes_of_it_is_read_too(tmp_path, content):
    path = tmp_path / "public_scores.csv"
    path.write_bytes(content.encode())
    assert read_public_scores(path, KNOWN) == read_public_scores(written(tmp_path, GOOD), KNOWN)


def test_no_file_and_no_lines_are_no_scores(tmp_path):
    assert read_public_scores(tmp_path / "public_scores.csv", KNOWN) == []
    assert read_public_scores(written(tmp_path, ""), KNOWN) == []
    assert read_public_scores(written(tmp_path, HEADER), KNOWN) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bset,auc,0.9,2026-07-01,", "no submission 'bset' here. Known: best, default."),
        ("best,auc,0.9,2026-07-01", "4 columns, expected 5: submission,metric,score,date,note"),
        ("best,auc,0.9,2026-07-01,a,b", "6 columns, expected 5"),
        ("best,,0.9,2026-07-01,", "the metric is empty"),
        ("best,auc,high,2026-07-01,", "score 'high', expected a finite number"),
        ("best,auc,nan,2026-07-01,", "score 'nan', expected a finite number"),
        ("best,auc,inf,2026-07-01,", "score 'inf', expected a finite number"),
        ("best,auc,0.9,1.7.2026,", "date '1.7.2026', expected year-month-day"),
        ("best,auc,0.9,2026-02-30,", "date '2026-02-30'"),
        ("best,auc,0.8,2026-07-01,again", "auc of 'best' on 2026-07-01 again, already in line 2"),
    ],
)
def test_mistakes_are_named_by_line(tmp_path, line, words):
    path = written(tmp_path, GOOD + line + "\n")
    with pytest.raises(InputError) as error:
        read_public_scores(path, KNOWN)
    assert str(error.value).startswith(f"{path}, line 4: ") and words in str(error.value)


def test_wrong_headers_and_files_are_refused(tmp_path):
    for content in ("best,auc,0.9,2026-07-01,\n", "name,date,score\n"):
        with pytest.raises(InputError, match="line 1: found .*, expected 'submission,metric,score,date,note'"):
            read_public_scores(written(tmp_path, content), KNOWN)
    with pytest.raises(InputError, match="cannot be read"):
        read_public_scores(tmp_path, KNOWN)
    with pytest.raises(InputError, match="cannot be read"):
        read_public_scores(written(tmp_path, HEADER + '"best'), KNOWN)
    with pytest.raises(InputError, match="Known: none"):
        read_public_scores(written(tmp_path, GOOD), [])


def test_submissions_with_a_manifest_are_known(tmp_path):
    for name in ("b.csv", "b.json", "a.csv", "a.json", "a_radius.csv", "history.csv", "c.json"):
        (tmp_path / name).touch()
    assert known_submissions(tmp_path) == ["a", "b"] and known_submissions(tmp_path / "gone") == []


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=60) | st.text('best,auc0.9-"\n\r; 2026', max_size=60).map(lambda rows: (GOOD + rows).encode())
)
def test_any_file_is_read_or_refused(tmp_path, content):
    path = tmp_path / "public_scores.csv"
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert all(score.submission in KNOWN for score in read_public_scores(path, KNOWN))
