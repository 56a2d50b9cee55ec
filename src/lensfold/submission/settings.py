"""What a submission is made of: its hand-written file, or a single experiment by its name."""

from lensfold.config import MemberSettings, SubmissionSettings, read_toml
from lensfold.data import catalog as catalogs
from lensfold.paths import Pack, Workspace

#: submissions that are made where none is named
USUAL, FEW_LABELS = "default", "few_labels"


def usual_submission(pack: Pack, trained_on: str | None = None) -> str:
    """Return the submission that is made of a pack where none is named.

    Of labels of the user's own that have no lens sizes it is one without size stages, unless networks that are trained
    already, on the pack ``trained_on``, predict. Raises InputError where the labels are wrong.
    """
    if trained_on is not None or not pack.labels.is_file() or catalogs.has_sizes(catalogs.read_catalog(pack.labels)):
        return USUAL
    return FEW_LABELS


def read_submission_settings(workspace: Workspace, name: str, trained_on: str) -> SubmissionSettings:
    """Return what ``submissions/<name>.toml`` says; where it is not there, a submission of the experiment ``name``.

    ``trained_on``: name of the pack of its runs. Raises InputError where there is neither the file nor such an
    experiment, nor a run of it.
    """
    path = workspace.submission_settings(name)
    alone = workspace.experiment(name).is_file() or (workspace.run(trained_on, name) / "config.json").is_file()
    if alone and not path.is_file():
        return SubmissionSettings(member=(MemberSettings(experiment=name),))
    return read_toml(path, SubmissionSettings)
