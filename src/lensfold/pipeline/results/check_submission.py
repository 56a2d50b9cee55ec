"""`lensfold check-submission`: any file checked against a pack's test IDs, line by line, and repaired where asked."""

from functools import partial
from pathlib import Path

from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace
from lensfold.submission.check import Report, checked_kind, examine
from lensfold.submission.expected_ids import expected_of, official, train_truth
from lensfold.submission.repair import repair


def check_file(
    workspace: Workspace,
    pack: Pack | None,
    path: Path,
    *,
    kind: str | None = None,
    target: Path | None = None,
    fill: float | None = None,
    convert: str | None = None,
    header: bool = False,
) -> bool:
    """Print what is right and wrong with a file; return whether it is a submission.

    ``pack`` None: compared with the challenge's official IDs, and with no train truth. ``target``: where the
    repaired file goes; then what is returned is about that one.
    Raises InputError for options that do not fit, and where a repair would be a guess.
    """
    _check_options(target, fill, convert, header)
    wanted = None if kind is None else checked_kind(kind)
    expected = official() if pack is None else expected_of(workspace, pack)
    truth_of = None if pack is None else partial(train_truth, pack)
    report = examine(path, expected, wanted, truth_of)
    show_report(report)
    if target is None:
        return not report.errors
    repairs = repair(report, target, expected, fill=fill, convert=convert, header=header, truth_of=truth_of)
    print(f"\n{target}: written, and valid. Repairs:")
    for words in repairs:
        print(f"  {words}")
    return True


def show_report(report: Report) -> None:
    """A line for each check, then "valid" or how many errors there are."""
    print(f"{report.path}")
    for finding in report.findings:
        print(f"  {finding.severity:9}  {finding.check}: {finding.text()}")
    errors = len(report.errors)
    print(f"not valid: {errors} error{'s' if errors > 1 else ''}" if errors else "valid")


def _check_options(target: Path | None, fill: float | None, convert: str | None, header: bool) -> None:
    if target is None and (fill is not None or convert is not None or header):
        raise InputError("--fill, --convert and --header belong to a repair. Give --repair OUT too.")
