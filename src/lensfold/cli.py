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
SplitName = Annotated[str, typer.Option("--split", help="train or test, or twins of a simulated pack.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes.")]
Stage = Annotated[Path | None, typer.Option("--stage", help="Copy the cache to this local folder and read it there.")]

CORES = os.cpu_count() or 1


def _pack(root: Path, name: str | None, data: Path | None) -> tuple[Workspace, Pack]:
    workspace = Workspace(root)
    return workspace, workspace.pack(name, data)


def _split(name: str) -> str:
    if name not in ("train", "test", "twins"):
        raise InputError(f"--split {name!r}: expected train or test, or twins (of a simulated pack).")
    return name


@app.command()
def simulate(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    profile: Annotated[str | None, typer.Option(help="challenge, sample or smoke; default: the pack's name.")] = None,
    train: Annotated[int | None, typer.Option(help="Objects of the train split; default: the profile's.")] = None,
    test: Annotated[int | None, typer.Option(help="Objects of the test split; default: the profile's.")] = None,
    twins: Annotated[bool, typer.Option("--twins", help="Also each train object with a source without it.")] = False,
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
    train, test = train or counts.n_train, test or counts.n_test
    with progress(f"simulate {chosen.name}") as report:
        simulate_pack(chosen.folder, profile, train, test, seed, workers, report, twins)


@app.command()
def folds(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    check: Annotated[bool, typer.Option("--check", help="Write nothing: check and show the folds that exist.")] = False,
) -> None:
    """Write folds/<pack>.csv (every catalog ID once) and show what is in each fold."""
    from lensfold.results import show_folds, show_strata
    from lensfold.steps import check_pack_folds, make_pack_folds

    workspace, chosen = _pack(root, pack, data)
    catalog, made = (check_pack_folds if check else make_pack_folds)(workspace, chosen)
    show_folds(chosen.name, catalog, made)
    if check:
        show_strata(catalog, made)


@app.command()
def cache(
    split: SplitName,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    skip_bad: SkipBad = False,
    workers: Workers = CORES,
) -> None:
    """Read the FITS files of a split, or its archive, once, into shards; list what cannot be used by ID and reason."""
    split = _split(split)
    from lensfold.results import show_cache
    from lensfold.steps import cache_split

    workspace, chosen = _pack(root, pack, data)
    show_cache(chosen.name, split, cache_split(workspace, chosen, split, skip_bad, workers))


@app.command("import-euclid")
def import_euclid(
    files: Annotated[list[Path], typer.Argument(help="Multi-extension MER cutouts, or single-band ones with MAGZERO.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new pack, as in data/mine.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the cutouts of an earlier import.")] = False,
) -> None:
    """Turn real Euclid cutouts into a pack in the challenge's geometry and units, ready for predict."""
    from lensfold.inspection import import_pack
    from lensfold.results import show_import

    table, pictures = import_pack(files, out, overwrite)
    show_import(table, out, pictures)


@app.command()
def show(
    ids: Annotated[list[int], typer.Argument(help="IDs of objects.")],
    split: SplitName = "train",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
) -> None:
    """A PNG sheet of each object: VIS, colour, the NISP bands, and the catalog's numbers."""
    from lensfold.inspection import open_album
    from lensfold.pictures import show_objects

    workspace, chosen = _pack(root, pack, data)
    with open_album(workspace, chosen, _split(split)) as album:
        for path in show_objects(album, ids, workspace.look(chosen, split)):
            print(path)


@app.command()
def look(
    split: SplitName = "train",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """A sheet of objects drawn from each lens size, and the histogram of lens sizes."""
    from lensfold.inspection import open_album
    from lensfold.pictures import look as draw

    workspace, chosen = _pack(root, pack, data)
    with open_album(workspace, chosen, _split(split)) as album:
        for path in draw(album, workspace.look(chosen, split), seed):
            print(path)


@app.command()
def verify(
    split: SplitName,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build damaged shards again, and only these.")] = False,
) -> None:
    """Hold every shard of a cache against its recorded checksum; name the damaged ones."""
    split = _split(split)
    from lensfold.results import show_verified
    from lensfold.steps import verify_split

    workspace, chosen = _pack(root, pack, data)
    problems = verify_split(workspace, chosen, split, rebuild)
    show_verified(chosen.name, split, problems, rebuild)
    if problems and not rebuild:
        raise typer.Exit(1)


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
    experiment: ExperimentName,
    fold: int,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    stage: Stage = None,
) -> None:
    """Train one fold of a configured experiment (what make calls)."""
    from lensfold.steps import train as train_one

    workspace, chosen = _pack(root, pack, data)
    train_one(workspace, chosen, experiment, fold, stage)


@app.command("predict-fold")
def predict_fold(
    experiment: ExperimentName,
    fold: int,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    stage: Stage = None,
) -> None:
    """Predict a pack's test split with one trained fold (what make calls)."""
    from lensfold.steps import predict_folds

    workspace, chosen = _pack(root, pack, data)
    predict_folds(workspace, chosen, trained_on or chosen.name, experiment, [fold], stage)


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


@app.command()
def report(
    names: Annotated[list[str] | None, typer.Argument(help="Runs to show; default: all of the pack.")] = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    runs: Annotated[list[str] | None, typer.Option("--runs", help="The same: --runs a b.")] = None,
    gallery: Annotated[int, typer.Option(min=0, help="Most objects of each list of the gallery.")] = 200,
) -> None:
    """A static HTML report of a pack's runs, runs/<pack>/report/: plots, scores and a gallery of what is wrong."""
    from lensfold.report import write_report

    workspace, chosen = _pack(root, pack, data)
    print(write_report(workspace, chosen, [*(runs or ()), *(names or ())], gallery))


@app.command()
def explain(
    ids: Annotated[list[int], typer.Argument(help="IDs of objects of the train split.")],
    experiment: ExperimentName,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    method: Annotated[str, typer.Option(help="occlusion, or grad-cam (of the last convolution).")] = "occlusion",
) -> None:
    """Where in an object its held-out network sees a lens: a PNG of each, which the report includes."""
    from lensfold.explain import explain_objects

    workspace, chosen = _pack(root, pack, data)
    for path in explain_objects(workspace, chosen, experiment, ids, method):
        print(path)


@app.command()
def bench(
    root: Root = Path(),
    small: Annotated[int, typer.Option(min=100, help="Objects of the small pack.")] = 2000,
    large: Annotated[int, typer.Option(min=100, help="Objects of the large pack.")] = 20000,
    scratch: Annotated[Path | None, typer.Option(help="Where the packs are made: 0.5 MB an object.")] = None,
) -> None:
    """Measure the data layer, as ratios in one run, into benchmarks/README.md."""
    from lensfold.bench import run_benchmarks

    page = run_benchmarks(root, small, large, scratch)
    print(page.read_text())


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
