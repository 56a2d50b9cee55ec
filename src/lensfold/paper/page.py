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
PAPER_TABLE3 = {"small CNN": ("88 %", "–"), "EfficientNet": ("91.733 %", "0.909")}
METHOD_NAMES = {"logistic": "kernel logistic regression", "svm": "SVM", "pca": "kernel PCA, logistic regression"}
KERNEL_NAMES = {"polynomial": "polynomial", "rbf": "RBF", "sigmoid": "hyperbolic tangent"}
APPROXIMATION_NAMES = {"none": "exact", "random": "Monte Carlo", "nystroem": "Nyström"}
FIGURES = (
    ("Figure 1", "figure1.png", "extreme examples"),
    ("Figure 2", "figure2.png", "the preprocessing"),
    ("Figure 3", "figure3.png", "sizes of the lenses"),
    ("Figure 4", "figure4.png", "lenses of falling size"),
    ("Figure 5, small CNN", "figure5-small-cnn.png", "learning curves; validation is all lenses of the rule"),
    ("Figure 5, EfficientNet", "figure5-efficientnet.png", "learning curves; validation is all lenses of the rule"),
    ("Figure 6, small CNN", "figure6-small-cnn.png", "ROC on the paper's task"),
    ("Figure 6, EfficientNet", "figure6-efficientnet.png", "ROC on the paper's task; the paper's AUC is 0.909"),
)
SIZE_RUNS = {
    "table2-all-seed1": "only lenses > 150 px",
    "later-everything": "all lenses, one stage",
    "later-restarts": "all lenses, in four stages",
    "later-falling-sizes": "falling sizes: 300, 150, 70, 20 px",
}


def render(results: dict) -> str:
    """Return the page as Markdown; ``results`` as `reproduction` measured them."""
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
        efficientnet_gain=_signed(gains["table2-all-seed1 → table3-efficientnet"]),
        falling_gain=_signed(gains["later-everything → later-falling-sizes"]),
        sizes_gain=_signed(gains["later-restarts → later-falling-sizes"]),
        richer_gain=_signed(gains["table3-efficientnet → later-classifier"]),
        larger_gain=_signed(gains["table3-efficientnet → later-larger"]),
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
    task = results["task"]
    best = _best_method(task, "pixels")
    rows = [
        [f"old methods: the best of {len(METHODS)} on pixels", PAPER_TABLE1, "–",
         _percent(best["accuracy"]), _auc(best["auc"])]
    ]  # fmt: skip
    for name, run in (("small CNN", "table2-all-seed1"), ("EfficientNet", "table3-efficientnet")):
        shown = f"{name} ({results['efficientnet']})" if name == "EfficientNet" else name
        rows.append([shown, *PAPER_TABLE3[name], _percent(task[run]["accuracy"]), _auc(task[run]["auc"])])
    return _table(("network", "paper, accuracy", "paper, AUC", "accuracy", "AUC"), rows)


def _sizes(rule: dict) -> str:
    rows = [[shown, _auc(rule[name]["auc"]), *_by_size(rule[name])] for name, shown in SIZE_RUNS.items()]
    return _table(("small CNN trained on", "AUC", *_size_names()), rows)


def _networks(results: dict) -> str:
    task, weights = results["task"], "with" if results["larger_weights"] else "none at hand: trained from nothing"
    rows = [
        [f"{results['efficientnet']}, dense 32 and 16", "with", _auc(task["table3-efficientnet"]["auc"])],
        [f"{results['efficientnet']}, dense 256 and 64", "with", _auc(task["later-classifier"]["auc"])],
        [f"{results['larger']}, dense 32 and 16", weights, _auc(task["later-larger"]["auc"])],
    ]
    return _table(("network", "ImageNet weights", "AUC"), rows)


def _scalings(results: dict) -> str:
    rows = []
    for scaling, shown in (("pack", "one set of constants"), ("image", "each image by itself")):
        for below, called in (("drop", "left out"), ("negative", "called non-lenses")):
            whole = results["rule"][f"scaling-{scaling}-{below}"]
            own = results["task"][f"scaling-{scaling}-{below}"]
            rows.append([shown, called, _auc(own["auc"]), _auc(whole["auc"]), *_by_size(whole)])
    columns = ("pixels scaled by", "smaller lenses", "AUC, paper's task", "AUC, all lenses", *_size_names())
    return _table(columns, rows)


def _entry(grade: dict | None) -> str:
    if grade is None:
        return "this pack has no key of its test split, so its grade is the organisers'"
    scores = f"AUC {_auc(grade['auc'])}, > 150 px {_auc(grade['auc_large'])}"
    return f"its grade on the key of the pack's test split, n = {grade['n']:,}: {scores}"


def _layers(table: Sequence) -> str:
    rows = [[name, " × ".join(str(length) for length in shape[1:]), f"{count:,}"] for name, shape, count in table]
    return _table(("layer", "output", "parameters"), rows)


def _size_names() -> list[str]:
    return [f"{name} px" for name in catalogs.SIZE_BIN_NAMES[1:]]


def _by_size(scores: dict) -> list[str]:
    return ["–" if row["value"] is None else f"{row['value']:.3f}" for row in scores["by_size"][1:]]


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
