"""What a submission is made from, as one hash, and whether the one that is there was made from that."""

from collections.abc import Sequence

from lensfold.config import PREVALENCE
from lensfold.data.cache import pixels_hash, read_manifest
from lensfold.data.given_features import seen_hash
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.paths import Pack, Workspace
from lensfold.runs.cascade import Selection, kept_predictions
from lensfold.runs.predictions import FoldPrediction, fold_predictions
from lensfold.runs.run import Run
from lensfold.submission.manifest import FORMAT, read_submission_manifest
from lensfold.submission.settings import read_submission_settings


def is_submitted(workspace: Workspace, pack: Pack, trained_on: str, name: str, beta_squared: float) -> bool:
    """Return whether the submission's files are there, made from the files there are now."""
    target = workspace.submission(pack, name)
    try:
        manifest = read_submission_manifest(target)
    except InputError:  # absent, damaged, or of an earlier layout: it is made anew
        return False
    written = [(target, manifest.sha256)]
    if manifest.radius:
        written.append((target.with_name(manifest.radius.file), manifest.radius.sha256))
    if any(not path.is_file() or file_sha256(path) != sha256 for path, sha256 in written):
        return False
    return manifest.made_from == submission_identity(workspace, pack, trained_on, name, beta_squared)


def submission_identity(workspace: Workspace, pack: Pack, trained_on: str, name: str, beta_squared: float) -> str:
    """Return a hash of all that a submission is made from.

    These are its settings, the networks and logits of its runs, the objects and pixels of the test split, the catalogs
    and the folds. Raises InputError where a prediction is absent or of other networks or pixels than there are now.
    """
    settings = read_submission_settings(workspace, name, trained_on)
    training = training_pack(workspace, pack, trained_on)
    cached = read_manifest(workspace.cache(pack, "test"))
    pixels = pixels_hash(cached)
    files = (pack.catalog, training.catalog, workspace.folds(training))
    runs = [Run(workspace.run(trained_on, one)) for one in settings.scored_by]
    if settings.cascade:
        first_run = Run(workspace.run(trained_on, settings.cascade.first))
        seen = seen_hash(first_run.settings, pixels, workspace.root, pack.name)
        first = Selection(first_run, pack.name, seen, settings.cascade)
        made = {run.name: _run_identity(pack, run, kept_predictions(run, first)) for run in runs}
        chosen = {"first": _run_identity(pack, first.run, first.first)}
    else:
        seen_by = {run: seen_hash(run.settings, pixels, workspace.root, pack.name) for run in runs}
        made = {run.name: _run_identity(pack, run, fold_predictions(run, pack.name, seen_by[run])) for run in runs}
        chosen = {}
    return digest(
        {
            "format": FORMAT,
            # what is absent is left out, so that a new setting makes no submission of before another one
            "settings": settings.model_dump(mode="json", exclude_none=True),
            "runs": made,
            **chosen,
            "pixels": pixels,
            "refused": cached["refused"],
            "files": [file_sha256(path) if path.is_file() else None for path in files],
            "beta_squared": beta_squared,
            "prevalence": PREVALENCE,
        }
    )


def _run_identity(pack: Pack, run: Run, made: Sequence[FoldPrediction]) -> dict:
    """What a submission takes of one run; InputError where its predictions are not of the files there are now."""
    for prediction in made:
        if not prediction.is_done():
            raise InputError(
                f"{prediction.target}: absent, or not of the network and the test pixels there are now. Predict again: "
                f"make predict PACK={pack.name}."
            )
    return {"run": run.identity, "oof": run.oof_hashes, "test": {str(one.fold): one.key for one in made}}


def training_pack(workspace: Workspace, pack: Pack, trained_on: str) -> Pack:
    """Return the pack behind the runs: the project's, or ``pack`` itself where that lies in a folder elsewhere."""
    inside = workspace.pack(trained_on)
    return pack if pack.name == trained_on and not inside.catalog.is_file() else inside
