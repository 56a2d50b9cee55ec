"""A submission's cascade: its scores of the test split, and out of fold what it costs against the full ensemble."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lensfold.data import catalog as catalogs
from lensfold.ensemble.build import Ensemble, TrainingData
from lensfold.ensemble.cascade import BELOW, TOP, CascadeOof, cascade_oof, cascaded
from lensfold.ensemble.members import check_oof, read_oofs
from lensfold.errors import InputError
from lensfold.pipeline.results.score import check_current
from lensfold.runs.cascade import Selection
from lensfold.runs.logits import ONE_VIEW
from lensfold.runs.predictions import mean_logits
from lensfold.runs.run import Run
from lensfold.runs.scores import gain_text
from lensfold.scoring.curves import wilson
from lensfold.scoring.out_of_fold import drawn_haloes, lens_task
from lensfold.scoring.score_table import paired_auc
from lensfold.submission.manifest import run_record


@dataclass(frozen=True)
class CascadedTest:
    """A test split scored by a cascade."""

    #: by ID, of all objects
    logits: pd.Series
    #: share of the objects that the members scored
    share: float
    #: what the manifest records, beside what is measured out of fold
    record: dict


def cascaded_test(selection: Selection, combined: pd.Series) -> CascadedTest:
    """Return the scores of all objects, where the members' are ``combined``, by ID, for those kept."""
    first = mean_logits(selection.first)
    run, chosen = selection.run, selection.path
    files = [*(prediction.target for prediction in selection.first), chosen, chosen.with_suffix(".json")]
    record = {
        "name": run.name,
        "run": run_record(run, files),
        "kept": len(combined),
        "objects": len(first),
        "lowest": float(combined.min()),
        "below": BELOW,
    }
    return CascadedTest(cascaded(first, combined), len(combined) / len(first), record)


def one_view_oof(run: Run) -> pd.Series:
    """Return a run's out-of-fold logits of one view, by ID; InputError where it did not keep them."""
    table = run.oof()
    if not run.predict.get("d4_average", True):
        return table["logit"]
    if ONE_VIEW not in table:
        raise InputError(
            f"{run.folder}: its out-of-fold logits are means of eight views, and those of one view, by which a cascade "
            "chooses, were not kept when it was trained. Delete its fold folders, and train again."
        )
    return table[ONE_VIEW]


def cascaded_ensemble(
    source: TrainingData, selection: Selection, ensemble: Ensemble, share: float
) -> tuple[Ensemble, dict]:
    """Return the ensemble as the cascade has it out of fold, and what that costs against the full one.

    Raises InputError where the first run's out-of-fold logits are not of the members' objects and folds.
    """
    run, prevalence = selection.run, selection.cascade.prevalence
    check_current(run, source.folds, source.catalog, source.folds_file, source.pack.catalog)
    check_oof(run, run.oof(), source.folds, source.present)
    read_oofs([ensemble.members[0], run])
    labels = catalogs.labels(source.catalog, ensemble.rule).reindex(ensemble.oof.index).to_numpy()
    found = cascade_oof(one_view_oof(run), ensemble.oof, labels, share, prevalence)
    name = f"{ensemble.name}, cascade of the best {100 * share:.3g} % by {run.name}"
    made = replace(ensemble, name=name, oof=ensemble.oof.assign(logit=found.logits))
    return made, {"share": share, "prevalence": prevalence, **_cost(source, ensemble, found, labels)}


def _cost(source: TrainingData, ensemble: Ensemble, found: CascadeOof, labels: np.ndarray) -> dict:
    asked = lens_task(source.catalog, ensemble.oof.index, ensemble.rule)
    full, own = ensemble.oof.loc[asked.ids, "logit"], found.logits[asked.ids]
    kinds = {"lenses": labels == 1, "others": labels == 0}
    return {
        # first: the full ensemble; second: the cascade; and their paired difference
        "auc": paired_auc(asked.labels, full, own, groups=drawn_haloes(asked.haloes)),
        "top": TOP,
        "top_kept": found.top_kept,
        "kept": {kind: _share(found.kept, of) for kind, of in kinds.items()},
        "kept_of_top": {kind: _share(found.kept, of & found.top) for kind, of in kinds.items()},
    }


def _share(kept: np.ndarray, of: np.ndarray) -> dict:
    """How many of some objects are kept, with Wilson's 95 % interval of the share; None where there are none."""
    n, count = int(of.sum()), int((kept & of).sum())
    low, high = (float(limit[0]) for limit in wilson([count], [n]))
    return {"n": n, "kept": count, "low": low if n else None, "high": high if n else None}


def cascade_cost(measured: dict) -> str:
    """Return in words what a cascade costs out of fold, from what the manifest has measured of it."""
    auc, top, survey = measured["auc"], measured["kept_of_top"], round(1 / measured["prevalence"])
    parts = ", ".join(f"{part['kept']} of {part['n']} {kind}" for kind, part in top.items())
    return (
        f"Out of fold, cut at {100 * measured['share']:.3g} % of a survey in which one object in {survey} is a lens: "
        f"AUC {auc['second']:.4f}, {gain_text(auc, 4)} against the full ensemble's {auc['first']:.4f}. Of the full "
        f"ensemble's best {100 * measured['top']:g} % it keeps {100 * measured['top_kept']:.1f} % ({parts})."
    )
