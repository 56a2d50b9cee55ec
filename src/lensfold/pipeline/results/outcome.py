"""What the terminal shows of a submission: the outcome last, and with ``--all`` every table.

Out-of-fold scores are of the pack that the runs were trained on. Of another pack's objects they say nothing, and so
they are never shown as its outcome.
"""

from pathlib import Path

from lensfold.console import show_text
from lensfold.leaderboard.history import ENSEMBLE, last_before, read_history
from lensfold.paths import Pack, Workspace
from lensfold.pipeline.cascade import cascade_cost
from lensfold.pipeline.statistics import unlike_training
from lensfold.report.outcome import elsewhere, show_outcome
from lensfold.runs.run import NO_SCORE
from lensfold.runs.scores import gain_text

#: objects without a usable cutout that are listed
LISTED = 20


def show_submission(workspace: Workspace, pack: Pack, content: dict, every_table: bool = False) -> None:
    """Print what a submission's manifest says of its files and its scores; ``every_table``: all of its scores."""
    target = workspace.submission(pack, content["submission"])
    if every_table:
        _show_every_table(content)
    _show_files(target, content)
    if cascade := content.get("cascade"):  # a manifest of before has none
        show_text(
            f"{cascade['name']} scored {cascade['objects']} objects with one view, the members the best "
            f"{cascade['kept']} of them; the others stand below these in its order, and have no probability."
        )
    if content["trained_on"] != pack.name:
        for text in about_another_sky(workspace, pack, content):
            show_text(text)
        return
    if unlike := unlike_training(workspace, pack, content["trained_on"], list(content["members"])):
        show_text(unlike)
    if cascade and cascade["measured"]:
        show_text(cascade_cost(cascade["measured"]))
    _show_adds(content["ensemble"])
    training = workspace.pack(content["trained_on"])
    simulated = training.is_simulated or pack.is_simulated
    if content["radius"]:
        show_rows(workspace, training, content["radius"]["scores"], simulated, f"{content['submission']}_radius")
    if content.get("undivided") is None:
        show_rows(workspace, training, content["scores"], simulated, content["submission"])
    else:
        show_text(f"The submission's networks were {NO_SCORE}.")


def about_another_sky(workspace: Workspace, pack: Pack, content: dict) -> list[str]:
    """Return what a person must know of scores by runs of another pack: a sentence or two.

    How the pack is unlike the training pack, where it is; and that its out-of-fold scores are not of this pack.
    ``content``: the submission's manifest.
    """
    trained_on = content["trained_on"]
    unlike = unlike_training(workspace, pack, trained_on, list(content["members"]))
    if content.get("undivided") is not None:
        known = f"How good these scores are is not known: the networks learnt from {trained_on} and were {NO_SCORE}."
        return [text for text in (unlike, known) if text]
    scores = [content["scores"], (content["radius"] or {}).get("scores", [])]
    known = elsewhere(pack.name, trained_on, workspace.pack(trained_on).is_simulated, scores, pack.key.is_file())
    return [text for text in (unlike, known) if text]


def show_rows(
    workspace: Workspace, pack: Pack, rows: list[dict], simulated: bool, submission: str | None = None
) -> None:
    """Print the outcome of rows of scores beside the last other one of each in the pack's history.

    Of runs without folds, which have none, a sentence says so.
    """
    for row in rows:
        if row.get("undivided"):
            show_text(f"{row['name']} was {NO_SCORE}.")
    if not (rows := [row for row in rows if not row.get("undivided")]):
        return
    lines = read_history(workspace.submission(pack, "history"))
    before = []
    for row in rows:
        key = "mse" if row.get("task", "lens") == "einstein-radius" else "auc"
        whole = submission is not None and str(row["name"]).startswith("ensemble")
        name = f"{ENSEMBLE}{submission}" if whole else row["name"]
        before.append(last_before(lines, {**row, "name": name}, key))
    show_outcome(pack.name, rows, before, simulated)


def _show_every_table(content: dict) -> None:
    from lensfold.report.terminal import show_ensemble, show_scores

    show_scores(content["trained_on"], content["scores"], detail="full")
    if content["ensemble"]:
        show_ensemble(content["ensemble"])
    if content["radius"]:
        show_scores(content["trained_on"], content["radius"]["scores"])


def _show_adds(record: dict | None) -> None:
    """One line: what each member adds to the ensemble's AUC."""
    if record and (adds := record.get("adds")):
        over = record["against_best"]["bootstrap"]["over"]
        parts = ", ".join(f"{part['name']} {gain_text(part)}" for part in adds)
        show_text(f"What each member adds to the ensemble's AUC (95 % over {over}): {parts}.")


def _show_files(target: Path, content: dict) -> None:
    show_text(
        f"{target}: {content['rows']} rows, scores {content['min']:.3g} to {content['max']:.3g}, "
        f"{content['ties_at_top']} at the top; re-read and valid. Manifest: {target.with_suffix('.json').name}"
    )
    if content.get("undivided"):
        show_text(
            f"{content['undivided']} of these objects are labelled, and have the scores of networks that learnt from "
            "their labels: these say nothing."
        )
    if content.get("out_of_fold"):
        show_text(
            f"{content['out_of_fold']} of these objects are labelled: each has the score of the networks that did not "
            "learn from its label."
        )
    refused = content["refused"]
    if content["absent"]:
        print(f"{content['absent']} objects have no images or were refused; {len(refused)} refused:")
        for object_id, record in list(refused.items())[:LISTED]:
            score = "no row" if record["score"] is None else f"score {record['score']:.3g}"
            print(f"  {object_id}: {score}, because {record['reason']}")
        if len(refused) > LISTED:
            print(f"  … every one is in {target.with_suffix('.json').name}")
    second = content["radius"]
    if second:
        show_text(
            f"{target.with_name(second['file'])}: {second['rows']} rows, theta_E {second['min']:.3g} to "
            f"{second['max']:.3g} arcsec, out-of-fold MSE {second['oof_mse']['value']:.3g} arcsec²; re-read and valid."
        )
