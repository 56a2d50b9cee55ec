"""Commands that look at results: scores, comparisons, submissions, leaderboard, report."""

from pathlib import Path
from typing import Annotated

import typer

from lensfold.cli.options import (
    CORES,
    BetaSquared,
    DataFolder,
    EveryTable,
    ExperimentName,
    PackName,
    Prevalence,
    Root,
    SkipBad,
    SortScore,
    SubmissionName,
    TrainedOn,
    chosen_pack,
)
from lensfold.paths import Workspace

app = typer.Typer()


@app.command()
def score(
    experiment: ExperimentName,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    beta_squared: BetaSquared = 0.001,
    prevalence: Prevalence = 0.0005,
    every_table: EveryTable = False,
) -> None:
    """Score a run's complete folds out of fold; marked where folds are still missing."""
    from lensfold.pipeline.results.outcome import show_rows
    from lensfold.pipeline.results.score import score_run
    from lensfold.report.terminal import show_scores

    workspace, chosen = chosen_pack(root, pack, data)
    scores = score_run(workspace, chosen, experiment, beta_squared, prevalence)
    if every_table and not scores.get("undivided"):
        show_scores(chosen.name, [scores], detail="full")
    show_rows(workspace, chosen, [scores], chosen.is_simulated)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run; PACK/RUN; or submission:NAME for an ensemble.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same, of the same data.")],
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    beta_squared: BetaSquared = 0.001,
) -> None:
    """Is B better than A? Paired differences of their out-of-fold scores on the same objects, and a plain verdict."""
    from lensfold.pipeline.results.compare import compare as compare_both
    from lensfold.report.terminal import show_comparison

    workspace, chosen = chosen_pack(root, pack, data)
    show_comparison(compare_both(workspace, chosen, first, second, beta_squared))


@app.command()
def submit(
    submission: SubmissionName = "default",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    trained_on: TrainedOn = None,
    beta_squared: BetaSquared = 0.001,
    every_table: EveryTable = False,
) -> None:
    """Combine predictions that exist into a submission, and show its scores (the last thing `run predict` does)."""
    from lensfold.pipeline.results.outcome import show_submission
    from lensfold.pipeline.submit import submit as write

    workspace, chosen = chosen_pack(root, pack, data)
    content = write(workspace, chosen, trained_on or chosen.name, submission, beta_squared)
    show_submission(workspace, chosen, content, every_table)


@app.command()
def grade(
    submission: SubmissionName = "default",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    beta_squared: BetaSquared = 0.001,
    prevalence: Prevalence = 0.0005,
) -> None:
    """Score a submission against a simulated pack's key, as the organisers would."""
    from lensfold.pipeline.results.score import grade_submission

    workspace, chosen = chosen_pack(root, pack, data)
    grade_submission(workspace, chosen, submission, beta_squared, prevalence)


@app.command("check-submission")
def check_submission(
    file: Annotated[Path, typer.Argument(help="Any submission, whoever made it.")],
    pack: Annotated[str | None, typer.Option("--pack", help="Its pack; default: the challenge's official IDs.")] = None,
    data: DataFolder = None,
    root: Root = Path(),
    kind: Annotated[str | None, typer.Option(help="probability, radius or logit; default: by header and name.")] = None,
    repair: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a clean CSV there.")] = None,
    fill: Annotated[float | None, typer.Option(help="Score of IDs that have none in the repaired file.")] = None,
    convert: Annotated[str | None, typer.Option(help="What the scores to repair are: logit or percent.")] = None,
    header: Annotated[bool, typer.Option("--header", help="Repair with a header; default: without.")] = False,
) -> None:
    """Say what is wrong with any submission file, and repair what needs no guess."""
    from lensfold.pipeline.results.check_submission import check_file

    workspace = Workspace(root)
    chosen = None if pack is None and data is None else workspace.pack(pack, data)
    if not check_file(workspace, chosen, file, kind=kind, target=repair, fill=fill, convert=convert, header=header):
        raise typer.Exit(1)


@app.command("explain-submission")
def explain_submission(
    file: Annotated[Path, typer.Argument(help="submissions/<pack>/<name>.csv, with its manifest beside it.")],
    root: Root = Path(),
    verify: Annotated[bool, typer.Option("--verify", help="Compare all of it with the files that are here.")] = False,
) -> None:
    """Say how a submission was made and how to make it again."""
    from lensfold.submission.explain import explain
    from lensfold.submission.verify import verify as compare_all

    manifest = explain(Workspace(root), file)
    if verify and not compare_all(Workspace(root), file, manifest):
        raise typer.Exit(1)


@app.command()
def leaderboard(
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    sort: SortScore = "auc",
) -> None:
    """Every run and submission of a pack, best first, into submissions/<pack>/README.md and an HTML page."""
    from lensfold.pipeline.results.leaderboard import show_leaderboard, write_leaderboard

    workspace, chosen = chosen_pack(root, pack, data)
    show_leaderboard(*write_leaderboard(workspace, chosen, sort))


@app.command()
def report(
    names: Annotated[list[str] | None, typer.Argument(help="Runs to show; default: all of the pack.")] = None,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    runs: Annotated[list[str] | None, typer.Option("--runs", help="The same: --runs a b.")] = None,
    gallery: Annotated[int, typer.Option(min=0, help="Most objects of each list of the gallery.")] = 200,
    sort: SortScore = "auc",
) -> None:
    """Leaderboard, and a static HTML report of a pack's runs, runs/<pack>/report/: plots, gallery of what is wrong."""
    from lensfold.pipeline.results.leaderboard import leaderboard_section, write_leaderboard
    from lensfold.report.pages import write_report

    workspace, chosen = chosen_pack(root, pack, data)
    board, _ = write_leaderboard(workspace, chosen, sort)
    print(write_report(workspace, chosen, [*(runs or ()), *(names or ())], gallery, leaderboard_section(board)))


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
    from lensfold.report.explain import explain_objects

    workspace, chosen = chosen_pack(root, pack, data)
    for path in explain_objects(workspace, chosen, experiment, ids, method):
        print(path)


@app.command()
def paper(
    scale: Annotated[str, typer.Option(help="smoke (minutes), default (2.5 hours) or full (a GPU).")] = "default",
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Folds trained at a time.")] = CORES,
    skip_bad: SkipBad = False,
) -> None:
    """Reproduce the seed paper on a pack: every table and figure beside its own numbers, into paper/README.md."""
    from lensfold.paper import reproduce_paper

    print(reproduce_paper(root, scale, pack, data, jobs, skip_bad))


@app.command()
def publish(
    experiment: ExperimentName,
    name: Annotated[str, typer.Option(help="Name of the file in weights/, without its ending.")],
    fold: Annotated[int, typer.Option(min=0, help="The fold whose network it is.")] = 0,
    pack: PackName = None,
    data: DataFolder = None,
    root: Root = Path(),
) -> None:
    """Write a trained network into weights/, in 16 bits and without code, where `lensfold rank` finds it."""
    from lensfold.pipeline.shipped import publish as write

    path = write(*chosen_pack(root, pack, data), experiment, fold, name)
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
