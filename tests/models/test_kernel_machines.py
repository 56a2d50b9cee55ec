"""Kernel machines: equal to their textbook forms, blind to held-out objects, the same when they are fitted again."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from fakes.workspace import SVM, lensfold
from scipy.special import expit
from sklearn.decomposition import KernelPCA
from sklearn.metrics.pairwise import pairwise_kernels, rbf_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lensfold.config import Experiment, KernelLearner, validated
from lensfold.errors import InputError
from lensfold.files import file_sha256, sealed
from lensfold.models.kernel_machines import KernelComponents, Landmarks, TrainingSpan, _machine, fit_machine, seeds_of
from lensfold.runs.logits import read_logits
from lensfold.training.kernel_machine import eigenvalue_table

SEEDS = seeds_of(1, 0)
CHOSEN = {
    "rbf": {"gamma": 0.004, "C": 3.0},
    "polynomial": {"gamma": 0.01, "C": 0.5, "degree": 3, "coef0": 1.0},
    "sigmoid": {"gamma": 0.003, "C": 2.0, "coef0": -0.2},
}
EVERY = [
    (method, kernel, approximation)
    for method in ("logistic", "svm", "pca")
    for kernel in CHOSEN
    for approximation in ("none", "random", "nystroem")
    if approximation == "none" or (method != "pca" and (kernel, approximation) != ("sigmoid", "random"))
]
FOLDS = range(3)


def rings(count: int, features: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows that no plane separates: two classes of different lengths; more features than rows."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = generator.normal(size=(count, features)) * np.where(labels, 1.6, 1.0)[:, None]
    return (5 + 2 * rows).astype(np.float32), labels


def settings(method="svm", kernel="rbf", approximation="none", **more) -> KernelLearner:
    values = {"objects": 60, "components": 20, "settings_tried": 3, **more}
    return KernelLearner(kind="kernel", method=method, kernel=kernel, approximation=approximation, **values)


@pytest.mark.parametrize("kernel", CHOSEN)
def test_the_span_of_the_training_rows_keeps_every_kernel(kernel):
    rows, others = (StandardScaler().fit_transform(rings(n, seed=n)[0].astype(float)) for n in (30, 17))
    span = TrainingSpan()
    coordinates = span.fit_transform(rows)
    values = {name: value for name, value in CHOSEN[kernel].items() if name != "C"}
    for given in (rows, others):
        expected = pairwise_kernels(given, rows, metric=kernel, filter_params=True, **values)
        found = pairwise_kernels(span.transform(given), coordinates, metric=kernel, filter_params=True, **values)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(span.transform(rows), coordinates, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(span.transform(others), axis=1), np.linalg.norm(others, axis=1))


@pytest.mark.parametrize("kernel", CHOSEN)
def test_the_exact_svm_is_sklearns_on_the_pixels(kernel):
    (rows, labels), (others, _) = rings(60), rings(25, seed=1)
    machine = fit_machine(settings("svm", kernel), rows, labels, SEEDS, CHOSEN[kernel])
    scaler = StandardScaler().fit(rows.astype(float))
    name = {"polynomial": "poly"}.get(kernel, kernel)
    direct = SVC(kernel=name, **CHOSEN[kernel]).fit(scaler.transform(rows.astype(float)), labels)
    expected = direct.decision_function(scaler.transform(others.astype(float)))
    np.testing.assert_allclose(machine.decisions(others)[:, 0], expected, atol=1e-3 * np.abs(expected).max())
    assert machine.coefficients == direct.dual_coef_.size + 1


def test_full_rank_landmarks_give_kernel_logistic_regression():
    """The stationary point of the penalised likelihood in the dual: alpha = C (y - p), with f = K alpha + b."""
    (rows, labels), (others, _) = rings(40), rings(11, seed=1)
    machine = fit_machine(settings("logistic"), rows, labels, SEEDS, CHOSEN["rbf"])
    scaler = StandardScaler().fit(rows.astype(float))
    rows, others = scaler.transform(rows.astype(float)), scaler.transform(others.astype(float))
    kernel, alpha, offset = rbf_kernel(rows, gamma=0.004), np.zeros(40), 0.0
    for _ in range(50):  # Newton's method on alpha and b
        p = expit(kernel @ alpha + offset)
        w = p * (1 - p)
        residual = np.append(alpha / 3.0 - (labels - p), np.sum(labels - p))
        matrix = np.block([[np.eye(40) / 3.0 + w[:, None] * kernel, w[:, None]], [-w @ kernel, -w.sum()]])
        step = np.linalg.solve(matrix, residual)
        alpha, offset = alpha - step[:-1], offset - step[-1]
    expected = rbf_kernel(others, rows, gamma=0.004) @ alpha + offset
    mapped = Landmarks("rbf", gamma=0.004, n_components=40).fit(rows)
    np.testing.assert_allclose(mapped.transform(others) @ mapped.transform(rows).T, rbf_kernel(others, rows, 0.004))
    from_pixels = machine.pipeline[2:].decision_function(machine.pipeline[1].transform(others))
    np.testing.assert_allclose(from_pixels, expected, atol=1e-5)


def test_approximations_approach_the_exact_kernel():
    (rows, labels), (others, _) = rings(60), rings(200, seed=1)
    for kernel, approximation in (("rbf", "random"), ("rbf", "nystroem"), ("polynomial", "random")):
        exact = fit_machine(settings("logistic", kernel), rows, labels, SEEDS, CHOSEN[kernel]).decisions(others)[:, 0]
        errors = []
        for components in (10, 1000):
            chosen = settings("logistic", kernel, approximation, components=components)
            found = fit_machine(chosen, rows, labels, SEEDS, CHOSEN[kernel]).decisions(others)[:, 0]
            errors.append(np.sqrt(np.mean((found - exact) ** 2)) / exact.std())
        assert errors[1] < errors[0] / 4, (kernel, approximation, errors)


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_components_are_those_of_sklearn(kernel):
    (rows, _), (others, _) = rings(40, 30), rings(9, 30, seed=1)
    values = {name: value for name, value in CHOSEN[kernel].items() if name != "C"}
    rows, others = rows.astype(float) / 5, others.astype(float) / 5
    ours = KernelComponents(kernel, n_components=4, **values).fit(rows)
    theirs = KernelPCA(4, kernel={"polynomial": "poly"}.get(kernel, kernel), **values).fit(rows)
    np.testing.assert_allclose(ours.eigenvalues_[:4], theirs.eigenvalues_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(ours.transform(others)), np.abs(theirs.transform(others)), rtol=1e-6, atol=1e-9)
    table = eigenvalue_table(ours.eigenvalues_)
    assert table.index[0] == 1 and table["share"].sum() == pytest.approx(1)
    assert (table["eigenvalue"].diff()[1:] <= 0).all()


def test_components_of_an_indefinite_and_of_a_constant_kernel():
    rows = rings(40, 30)[0].astype(float)
    indefinite = KernelComponents("sigmoid", gamma=0.01, coef0=-1.0, n_components=100).fit(rows - 5)
    assert (indefinite.eigenvalues_ > 0).all() and len(indefinite.eigenvalues_) < 39
    assert indefinite.transform(rows).shape == (40, len(indefinite.eigenvalues_))
    constant = KernelComponents("sigmoid", gamma=1e-30, coef0=1.0).fit(rows)
    assert (constant.transform(rows) == 0).all()


@pytest.mark.parametrize(("method", "kernel", "approximation"), EVERY)
def test_every_machine_searches_fits_and_repeats(method, kernel, approximation):
    (rows, labels), (others, _) = rings(60), rings(40, seed=1)
    chosen = settings(method, kernel, approximation)
    machine = fit_machine(chosen, rows, labels, SEEDS)
    values = machine.decisions(others)
    assert values.shape == (40, 1) and values.dtype == np.float64 and np.isfinite(values).all()
    assert len(machine.tried) == 3 and max(one["auc"] for one in machine.tried) <= 1
    best = max(machine.tried, key=lambda one: one["auc"])
    assert machine.chosen == {name: value for name, value in best.items() if name != "auc"}
    again = fit_machine(chosen, rows, labels, SEEDS, json.loads(json.dumps(machine.chosen)))
    assert (again.decisions(others) == values).all() and again.tried == ()
    parts = [machine.decisions(others[part]) for part in (slice(0, 1), slice(1, 18), slice(18, 40))]
    assert (np.concatenate(parts) == values).all()
    assert (machine.eigenvalues is not None) == (method == "pca")


def test_a_kernel_finds_what_no_plane_does():
    (rows, labels), (others, truth) = rings(300, 40), rings(200, 40, seed=1)
    machine = fit_machine(settings("svm", objects=300, settings_tried=8), rows, labels, SEEDS)
    values = machine.decisions(others)[:, 0]
    assert np.mean((values > 0) == truth) > 0.9


def test_seeds_differ_by_fold_and_by_seed():
    drawn = [seeds_of(1, 0), seeds_of(1, 1), seeds_of(2, 0)]
    assert len({word for seeds in drawn for word in vars(seeds).values()}) == 12
    assert seeds_of(1, 0) == SEEDS
    assert _machine(settings("svm", "rbf", "random"), 5)["map"].random_state == 5


KERNEL = {"kind": "kernel", "method": "svm"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learner": {**KERNEL, "kind": "forest"}}, "kind should be 'network', 'kernel' or 'given_features'"),
        ({"learner": {"kind": "kernel"}}, "'learner.method' is needed"),
        ({"learner": {**KERNEL, "method": "forest"}}, "'learner.method'"),
        ({"learner": {**KERNEL, "kernel": "linear"}}, "'learner.kernel'"),
        ({"learner": {**KERNEL, "sees": "fast_cnn"}}, "'learner.sees'"),
        ({"learner": {**KERNEL, "objects": 1001}}, "'learner.objects'"),
        ({"learner": {**KERNEL, "approximation": "random", "kernel": "sigmoid"}}, "'learner': .*no random features"),
        ({"learner": {**KERNEL, "method": "pca", "approximation": "nystroem"}}, "'learner': .*leave it out"),
        ({"learner": {**KERNEL, "dropout": 0.1}}, "unknown key 'learner.dropout'"),
        ({"learner": {**KERNEL, "weights": "imagenet"}}, "unknown key 'learner.weights'"),
        ({"learner": {"objects": 100}}, "unknown key 'learner.objects'"),
        ({"train": {"twins": 0.5}}, "no use for train.twins"),
        ({"train": {"batch_size": 8, "clip_norm": 0.5}}, "train.batch_size, train.clip_norm"),
        ({"augment": {"d4": False}}, "augment.d4"),
        ({"stage": [{"min_size": 20, "epochs": 3}]}, "stage.epochs"),
        ({"stage": [{"min_size": 20}, {"min_size": 40}]}, r"one \[\[stage\]\]"),
        ({"task": "einstein-radius"}, "finds lenses"),
        ({"learner": {**KERNEL, "sees": "efficientnet_lite0"}, "predict": {"d4_average": True}}, "d4_average = false"),
    ],
)
def test_settings_that_contradict_a_kernel_are_refused(change, words):
    content = {"learner": KERNEL, "stage": [{"min_size": 20}]} | change
    with pytest.raises(InputError, match=words):
        validated(content, Experiment, "here.toml")


def test_resolved_settings_read_back():
    content = {"learner": KERNEL, "stage": [{"min_size": 20}], "train": {"below": "negative"}}
    experiment = validated(content, Experiment, "here.toml")
    assert validated(experiment.model_dump(mode="json"), Experiment, "config.json") == experiment
    assert experiment.learner.backbone is None
    seen = validated(
        {**content, "learner": {**KERNEL, "sees": "efficientnet_b0"}, "predict": {"d4_average": False}},
        Experiment,
        "here.toml",
    )
    assert (seen.learner.backbone.name, seen.learner.backbone.weights) == ("efficientnet_b0", "imagenet")


def fold(workspace, number: int = 0):
    return workspace / "runs" / "fake" / "kernel" / f"fold{number}"


def run_again(workspace, *arguments: str, check: bool = True):
    return lensfold(workspace, *arguments, "--experiment", "kernel", "--pack", "fake", check=check)


def test_a_fold_writes_its_record_and_no_model(fitted):
    assert sorted(path.name for path in fold(fitted).iterdir()) == ["done.json", "objects.csv", "oof.csv", "run.json"]
    run = json.loads((fold(fitted) / "run.json").read_text())
    assert run["chosen"].keys() == {"C", "gamma"} and len(run["search"]) == 4 and run["parameters"] <= 25
    assert run["core_seconds"] > 0 and {"training.kernel_machine", "inputs.pixels"} <= set(run["code"]["modules"])
    folds = pd.read_csv(fitted / "folds" / "fake.csv", index_col="ID")["fold"]
    for number in FOLDS:
        objects = pd.read_csv(fold(fitted, number) / "objects.csv", index_col="ID")["label"]
        assert len(objects) == 24 and objects.sum() == 12
        assert (folds[objects.index] != number).all()
    score = json.loads((fold(fitted).parent / "score.json").read_text())
    assert score["auc"]["value"] > 0.8 and score["n"] == 60


def test_the_same_seed_gives_the_same_bytes_and_only_a_change_fits_again(fitted):
    before = (fold(fitted) / "oof.csv").read_bytes()
    out = run_again(fitted, "run", "train").stdout
    assert "settings tried" not in out and "done" not in out
    shutil.rmtree(fold(fitted))
    fold(fitted).mkdir()
    (fold(fitted) / "model.keras").write_text("of a network that had this name")
    assert "4 settings tried" in run_again(fitted, "run", "train", "--fold", "0").stdout
    assert (fold(fitted) / "oof.csv").read_bytes() == before and not (fold(fitted) / "model.keras").exists()
    file = fitted / "experiments" / "kernel.toml"
    file.write_text(SVM.replace("d4_average = false", "d4_average = true"))
    assert "settings tried" not in run_again(fitted, "run", "train", "--fold", "0").stdout
    averaged = read_logits(fold(fitted) / "oof.csv")
    file.write_text(SVM.replace("objects = 24", "objects = 20"))
    assert "20 objects, 10 of them lenses" in run_again(fitted, "run", "train", "--fold", "0").stdout
    assert (averaged != read_logits(fold(fitted) / "oof.csv")).all()


def test_held_out_labels_change_nothing(fitted):
    catalog = fitted / "data" / "fake" / "image_catalog2.0train.csv"
    held_out = set(map(str, read_logits(fold(fitted) / "oof.csv").index))
    lines = catalog.read_text().splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith(",ID"))
    columns = lines[header].split(",")
    for number in range(header + 1, len(lines)):
        cells = lines[number].split(",")
        if str(int(float(cells[columns.index("ID")]))) in held_out:
            is_lens = float(cells[columns.index("n_pix_source")]) > 20
            for name, value in (("n_pix_source", 0), ("n_source_im", 0)) if is_lens else (
                ("n_pix_source", 500), ("n_source_im", 2), ("mag_eff", 3.0), ("n_sources", 1)
            ):  # fmt: skip
                cells[columns.index(name)] = str(value)
            lines[number] = ",".join(cells)
    catalog.write_text("\n".join(lines) + "\n")
    before = (fold(fitted) / "oof.csv").read_bytes()
    for path in fold(fitted).iterdir():
        path.unlink()
    done = lensfold(fitted, "run-job", "train:kernel:0", "--pack", "fake")
    assert "settings tried" in done.stdout and (fold(fitted) / "oof.csv").read_bytes() == before


def test_prediction_fits_again_and_notices_other_pixels(fitted):
    lensfold(fitted, "run-job", "predict:kernel:1of1", "--pack", "fake")
    target = fold(fitted) / "test" / "fake.csv"
    before = target.read_bytes()
    assert len(read_logits(target)) == 8
    shutil.rmtree(target.parent)
    lensfold(fitted, "run-job", "predict:kernel:1of1", "--pack", "fake")
    assert target.read_bytes() == before
    objects = pd.read_csv(fold(fitted) / "objects.csv", index_col="ID")
    objects["label"] = 1 - objects["label"]  # stands for any change of what it is fitted to
    objects.to_csv(fold(fitted) / "objects.csv")
    record = json.loads((fold(fitted) / "run.json").read_text())
    record["learnt"], before = file_sha256(fold(fitted) / "objects.csv"), file_sha256(fold(fitted) / "run.json")
    (fold(fitted) / "run.json").write_text(json.dumps(sealed(record)))
    done = (fold(fitted) / "done.json").read_text()
    assert before in done
    (fold(fitted) / "done.json").write_text(done.replace(before, file_sha256(fold(fitted) / "run.json")))
    shutil.rmtree(target.parent)
    done = lensfold(fitted, "run-job", "predict:kernel:1of1", "--pack", "fake", check=False)
    assert done.returncode == 1 and "another decision than oof.csv has" in done.stderr and not target.exists()
    for name, content, words in (
        ("run.json", "{}", "damaged, or of another fold"),
        ("objects.csv", "ID,label\n1,1\n", "cannot be fitted again"),
        ("objects.csv", "", "cannot be fitted again"),
    ):
        kept = (fold(fitted) / name).read_text()
        (fold(fitted) / name).write_text(content)
        done = lensfold(fitted, "run-job", "predict:kernel:1of1", "--pack", "fake", check=False)
        assert words in done.stderr and "Traceback" not in done.stderr
        (fold(fitted) / name).write_text(kept)
    shutil.rmtree(fitted / "data" / "fake" / "cache" / "train")
    done = lensfold(fitted, "run-job", "predict:kernel:1of1", "--pack", "fake", check=False)
    assert "build that pack's cache first" in done.stderr


def test_a_kernel_machine_is_a_run_like_any_other(fitted):
    (fitted / "submissions" / "default.toml").write_text('[[member]]\nexperiment = "kernel"\n')
    lensfold(fitted, "run", "predict", "--pack", "fake")
    assert len((fitted / "submissions" / "fake" / "default.csv").read_text().splitlines()) == 8
    manifest = json.loads((fitted / "submissions" / "fake" / "default.json").read_text())
    files = {f"fold{n}/{name}" for n in FOLDS for name in ("oof.csv", "objects.csv", "run.json", "test/fake.csv")}
    assert set(manifest["members"]["kernel"]["files"]) == files
    printed = lensfold(fitted, "explain-submission", "submissions/fake/default.csv", "--verify", check=False).stdout
    assert 'learner.method = "svm"' in printed and "0 differ" in printed
    board = lensfold(fitted, "leaderboard", "--pack", "fake").stdout
    assert "svm (rbf) on raw_pixels" in board and "not shown" not in board and "since it was trained" not in board
    lensfold(fitted, "report", "--pack", "fake")
    page = (fitted / "runs" / "fake" / "report" / "kernel.html").read_text()
    assert "svm (rbf) on raw_pixels" in page and "learning.png" not in page
    done = lensfold(fitted, "explain", "--experiment", "kernel", "--pack", "fake", "200001", check=False)
    assert done.returncode == 1 and "a kernel machine" in done.stderr


def test_principal_components_leave_their_spectrum(workspace):
    (workspace / "experiments" / "kernel.toml").write_text(SVM.replace('"svm"', '"pca"') + "")
    run_again(workspace, "run", "train", "--fold", "1")
    table = pd.read_csv(fold(workspace, 1) / "eigenvalues.csv")
    assert table.columns.tolist() == ["component", "eigenvalue", "share"] and len(table) <= 24
    assert table["share"].sum() == pytest.approx(1)
    lensfold(workspace, "run-job", "predict:kernel:1of1", "--pack", "fake")
    run = json.loads((fold(workspace, 1) / "run.json").read_text())
    assert run["parameters"] <= run["chosen"]["n_components"] + 1


def test_a_stage_with_too_few_objects_is_refused(workspace):
    (workspace / "experiments" / "kernel.toml").write_text(SVM.replace("min_size = 20", "min_size = 100000"))
    done = run_again(workspace, "run", "train", "--fold", "0", check=False)
    assert done.returncode == 1 and "100000" in done.stderr and "Traceback" not in done.stderr


def test_a_kernel_machine_on_frozen_features(workspace):
    text = SVM.replace('kind = "kernel"', 'kind = "kernel"\nsees = "efficientnet_lite0"')
    (workspace / "experiments" / "kernel.toml").write_text(text.replace('"svm"', '"logistic"'))
    done = run_again(workspace, "run", "train", "--fold", "2")
    assert "features of the frozen backbone" in done.stdout and "logistic, rbf kernel, 24 objects" in done.stdout
    lensfold(workspace, "run-job", "predict:kernel:1of1", "--pack", "fake")
    assert len(read_logits(fold(workspace, 2) / "test" / "fake.csv")) == 8


@pytest.mark.parametrize("kernel", ["rbf", "polynomial"])
def test_random_features_do_not_tell_training_rows_from_others(kernel):
    """Far more features than rows: what lies outside of the training rows' span must not shift all other decisions."""
    generator = np.random.default_rng(4)
    rows, others = generator.normal(size=(120, 1500)), generator.normal(size=(400, 1500))
    labels = np.arange(120) % 2
    settings = KernelLearner(
        kind="kernel", method="logistic", kernel=kernel, approximation="random", objects=120, components=60
    )
    chosen = {"gamma": 1 / 1500, "C": 1.0, **({"degree": 2, "coef0": 1.0} if kernel == "polynomial" else {})}
    shifts = []
    for seed in range(6):
        machine = fit_machine(settings, rows, labels, seeds_of(seed, 0), chosen)
        decisions = machine.decisions(others)
        shifts.append(decisions.mean() / decisions.std())
    assert np.abs(shifts).max() < 0.6
