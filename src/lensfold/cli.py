"""The command line: parses, calls one function. TensorFlow is imported only by commands that run a model."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lensfold.errors import InputError
from lensfold.paths import Pack, Workspace

app = typer.Typer(
    help="Find strong gravitational lenses in Euclid-like cutouts: folds, training, prediction, submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PackName = Annotated[str | None, typer.Option("--pack", help="Pack name; default: sample, or the name of --data.")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder of the pack; default: data/<pack>.")]
Root = Annotated[Path, typer.Option("--root", help="Project folder with experiments/, folds/, runs/, submissions/.")]
ExperimentName = Annotated[str, typer.Option("--experiment", help="Name of a file in experiments/, without .toml.")]
SubmissionName = Annotated[str, typer.Option("--submission", help="Name of a file in submissions/, without .toml.")]
TrainedOn = Annotated[str | None, typer.Option("--trained-on", help="Pack the runs were trained on; default: this.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave unusable objects out instead of stopping.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]

CORES = os.cpu_count() or 1


def _pack(root: Path, name: str | None, data: Path | None) -> tuple[Workspace, Pack]:
    workspace = Workspace(root)
    return workspace, workspace.pack(name, data)


@app.command()
def simulate(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    profile: Annotated[str | None, typer.Option(help="challenge, sample or smoke; default: the pack's name.")] = None,
    train: Annotated[int | None, typer.Option(help="Objects of the train split; default: the profile's.")] = None,
    test: Annotated[int | None, typer.Option(help="Objects of the test split; default: the profile's.")] = None,
    seed: int = 1,
    workers: Workers = CORES,
) -> None:
    """Make a synthetic pack in the challenge's layout, with the key of its test split apart in truth/."""
    from lensfold.console import progress
    from lensfold.simulate import PROFILES, simulate_pack

    _, chosen = _pack(root, pack, data)
    profile = profile or chosen.name
    if profile not in PROFILES:
        raise InputError(f"no profile {profile!r}; the profiles are {', '.join(PROFILES)}. Give one with --profile.")
    counts = PROFILES[profile]
    with progress(f"simulate {chosen.name}") as report:
        simulate_pack(chosen.folder, profile, train or counts.n_train, test or counts.n_test, seed, workers, report)


@app.command()
def folds(pack: PackName = None, data: DataFolder = None, root: Root = Path()) -> None:
    """Write folds/<pack>.csv (every catalog ID once) and show what is in each fold."""
    from lensfold.results import show_folds
    from lensfold.steps import make_pack_folds

    workspace, chosen = _pack(root, pack, data)
    catalog, made = make_pack_folds(workspace, chosen)
    show_folds(chosen.name, catalog, made)


@app.command()
def cache(
    split: Annotated[str, typer.Option(help="train or test.")],
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """Read the FITS files of a split once, into shards; list what cannot be used by ID and reason."""
    from lensfold.results import show_cache
    from lensfold.steps import cache_split

    if split not in ("train", "test"):
        raise InputError(f"--split {split!r}: expected train or test.")
    workspace, chosen = _pack(root, pack, data)
    show_cache(chosen.name, split, cache_split(workspace, chosen, split, skip_bad, workers))


@app.command()
def configure(experiment: ExperimentName, pack: PackName = None, data: DataFolder = None, root: Root = Path()) -> None:
    """Resolve an experiment's settings for a pack into runs/<pack>/<experiment>/config.json."""
    from lensfold.steps import configure as configure_run

    workspace, chosen = _pack(root, pack, data)
    configure_run(workspace, chosen, experiment)


@app.command()
def train(
    experiment: ExperimentName,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    fold: Annotated[int | None, typer.Option(help="Only this fold; default: all, one after the other.")] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Train an experiment on a pack; makes folds, cache and settings where they are absent."""
    from lensfold.steps import prepare_training, train_folds

    workspace, chosen = _pack(root, pack, data)
    prepare_training(workspace, chosen, experiment, skip_bad, CORES)
    train_folds(workspace, chosen, experiment, fold)


@app.command("train-fold")
def train_fold(
    experiment: ExperimentName, fold: int, pack: PackName = None, data: DataFolder = None, root: Root = Path()
) -> None:
    """Train one fold of a configured experiment (what make calls)."""
    from lensfold.steps import train as train_one

    workspace, chosen = _pack(root, pack, data)
    train_one(workspace, chosen, experiment, fold)


@app.command("predict-fold")
def predict_fold(
    experiment: ExperimentName,
    fold: int,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
) -> None:
    """Predict a pack's test split with one trained fold (what make calls)."""
    from lensfold.steps import predict_folds

    workspace, chosen = _pack(root, pack, data)
    predict_folds(workspace, chosen, trained_on or chosen.name, experiment, [fold])


@app.command()
def score(experiment: ExperimentName, pack: PackName = None, data: DataFolder = None, root: Root = Path()) -> None:
    """Score a run's complete folds out of fold; marked where folds are still missing."""
    from lensfold.results import score_run, show_scores

    workspace, chosen = _pack(root, pack, data)
    show_scores(chosen.name, [score_run(workspace, chosen, experiment)])


@app.command()
def predict(
    submission: SubmissionName = "default",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """From any pack folder and trained runs to a submission: cache, predict every fold, combine, write, validate."""
    from lensfold.results import submit
    from lensfold.steps import predict_pack

    workspace, chosen = _pack(root, pack, data)
    predict_pack(workspace, chosen, trained_on or chosen.name, submission, skip_bad, workers)
    submit(workspace, chosen, trained_on or chosen.name, submission)


@app.command()
def submit(
    submission: SubmissionName = "default",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
) -> None:
    """Combine predictions that exist into a submission, and show the out-of-fold scores (what make calls)."""
    from lensfold.results import submit as write

    workspace, chosen = _pack(root, pack, data)
    write(workspace, chosen, trained_on or chosen.name, submission)


@app.command()
def grade(
    submission: SubmissionName = "default", pack: PackName = None, data: DataFolder = None, root: Root = Path()
) -> None:
    """Score a submission against a simulated pack's key, as the organisers would."""
    from lensfold.results import grade_submission

    workspace, chosen = _pack(root, pack, data)
    grade_submission(workspace, chosen, submission)


def main() -> None:
    """Run the command line; a user's mistake is one clear message and exit status 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        app()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last finished step", file=sys.stderr)
        sys.exit(130)
