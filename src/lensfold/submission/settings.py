"""What a submission is made of: its hand-written file, or a single experiment by its name."""

from lensfold.config import MemberSettings, SubmissionSettings, read_toml
from lensfold.paths import Workspace


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
