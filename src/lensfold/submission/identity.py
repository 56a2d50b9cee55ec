"""What a submission is made from, as one hash, and whether the one that is there was made from that."""

from lensfold.config import PREVALENCE
from lensfold.data.cache import pixels_hash, read_manifest
from lensfold.errors import InputError
from lensfold.files import digest, file_sha256
from lensfold.paths import Pack, Workspace
from lensfold.runs.predictions import fold_predictions
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
    return digest(
        {
            "format": FORMAT,
            "settings": settings.model_dump(mode="json"),
            "runs": {one: _run_identity(workspace, pack, trained_on, one, pixels) for one in settings.experiments},
            "pixels": pixels,
            "refused": cached["refused"],
            "files": [file_sha256(path) if path.is_file() else None for path in files],
            "beta_squared": beta_squared,
            "prevalence": PREVALENCE,
        }
    )


def _run_identity(workspace: Workspace, pack: Pack, trained_on: str, experiment: str, pixels: str) -> dict:
    """What a submission takes of one run; InputError where its predictions are not of the files there are now."""
    run = Run(workspace.run(trained_on, experiment))
    made = fold_predictions(run, pack.name, pixels)
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
