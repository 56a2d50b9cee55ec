"""Kernel machines: classifiers that are linear in the feature space of a kernel.

Logistic regression and support vector machines (Cortes & Vapnik 1995), exact or with an approximated kernel (random
Fourier features: Rahimi & Recht 2007; tensor sketch: Pham & Pagh 2013; Nyström: Williams & Seeger 2001), and kernel
principal components (Schölkopf, Smola & Müller 1998) with logistic regression on them.

Images have many more pixels than there are images to learn from, so the rows are first turned into the space that the
training rows span (:class:`TrainingSpan`), which changes no kernel value and makes a search over settings affordable.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh, qr
from scipy.stats import loguniform, uniform
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.kernel_approximation import Nystroem, PolynomialCountSketch, RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import RandomizedSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KernelCenterer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from lensfold.config import KernelLearner

#: parts of the training rows that each tried setting is fitted without, and scored on
PARTS = 3
#: what sklearn's SVC calls the kernels
SVC_KERNELS = {"rbf": "rbf", "polynomial": "poly", "sigmoid": "sigmoid"}
#: numbers of kernel principal components to try, up to KernelLearner.components
COMPONENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
#: rows that are decided together, always so many: BLAS multiplies rows at the end of its tiles (of 8, 16 or 24 rows) in
#: another order, and with parts of other lengths their last bits would be others
_BLOCK = 48
#: keeps these random numbers apart from others of the same seed and fold
PURPOSE = 0x6B65726E
Chosen = dict[str, float | int]


@dataclass(frozen=True)
class Seeds:
    """A seed for each random choice of one fold: training objects, settings to try, parts, and feature map."""

    objects: int
    settings: int
    parts: int
    map: int


def seeds_of(seed: int, fold: int) -> Seeds:
    """Return the seeds of a fold of an experiment."""
    return Seeds(*(int(word) for word in np.random.SeedSequence([seed, fold, PURPOSE]).generate_state(4)))


class TrainingSpan(TransformerMixin, BaseEstimator):
    """Coordinates in the span of the training rows, and the length of what is outside of it.

    Rows (n, features) become (n, m + 1), with m the smaller of features and training rows. Any row keeps its inner
    products with, and its distances from, the training rows, so every kernel that depends on these keeps its values;
    between two rows that were not trained on, only the part inside the span is kept. float64.
    """

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "TrainingSpan":
        """Learn the axes: an orthonormal basis of the rows, by QR factorisation."""
        self._factorise(X)
        return self

    def fit_transform(self, X: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """Fit and then transform, without computing again what the factorisation has."""
        return np.column_stack([self._factorise(X), np.zeros(len(X))])

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return coordinates of rows (n, features)."""
        inside = X @ self.axes_
        squares = np.einsum("ij,ij->i", X, X) - np.einsum("ij,ij->i", inside, inside)
        return np.column_stack([inside, np.sqrt(np.maximum(squares, 0))])

    def _factorise(self, X: np.ndarray) -> np.ndarray:
        self.axes_, coordinates = qr(X.T, mode="economic", check_finite=False)
        return coordinates.T


class Landmarks(Nystroem):
    """Nyström's feature map with at most as many components as there are rows.

    With all rows as components it is exact: products of features are the kernel's values, so that logistic regression
    on them is kernel logistic regression. Of an indefinite kernel (tanh) negative eigenvalues change their sign.
    """

    n_components: int

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "Landmarks":
        """Learn the map from rows (n, features)."""
        asked, self.n_components = self.n_components, min(self.n_components, len(X))
        try:
            return super().fit(X, y)
        finally:
            self.n_components = asked


class KernelComponents(TransformerMixin, BaseEstimator):
    """Kernel principal components: rows (n, features) to (n, components), float64, largest variance first.

    sklearn's KernelPCA with the directions of negative variance left out, which an indefinite kernel (tanh) has and at
    which KernelPCA stops. ``eigenvalues_``: all positive ones of the centred kernel matrix, descending.
    """

    def __init__(
        self,
        kernel: str = "rbf",
        gamma: float | None = None,
        degree: int = 3,
        coef0: float = 1.0,
        n_components: int = 100,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.n_components = n_components

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "KernelComponents":
        """Learn the components of rows (n, features)."""
        self.rows_ = X
        self.centre_ = KernelCenterer()
        values, vectors = eigh(self.centre_.fit_transform(self._kernel(X)), check_finite=False)
        values, vectors = values[::-1], vectors[:, ::-1]
        positive = max(1, int((values > len(X) * np.finfo(float).eps * max(values[0], 1.0)).sum()))
        self.eigenvalues_ = np.maximum(values[:positive], 0)
        kept = min(self.n_components, positive)
        # which way an eigenvector points is chance
        signs = np.sign(vectors[np.abs(vectors[:, :kept]).argmax(axis=0), np.arange(kept)])
        lengths = np.sqrt(self.eigenvalues_[:kept])
        # a kernel that is the same everywhere has no direction at all: its one component is 0
        self.axes_ = vectors[:, :kept] * signs / np.where(lengths > 0, lengths, np.inf)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return components of rows (n, features)."""
        return self.centre_.transform(self._kernel(X)) @ self.axes_

    def _kernel(self, X: np.ndarray) -> np.ndarray:
        chosen = {"gamma": self.gamma, "degree": self.degree, "coef0": self.coef0}
        return pairwise_kernels(X, self.rows_, metric=self.kernel, filter_params=True, **chosen)


class UnitLength(TransformerMixin, BaseEstimator):
    """Features divided by one number, so that the training rows' mean squared length is 1.

    The same as another C, so that one range of C suits every kernel: those of the polynomial kernel may be millions,
    with which the classifiers' solvers hardly come to an end.
    """

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "UnitLength":
        """Learn the length of rows (n, features)."""
        self.length_ = float(np.sqrt(np.mean(np.einsum("ij,ij->i", X, X)))) or 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return rows (n, features), divided."""
        return X / self.length_


@dataclass(frozen=True)
class KernelMachine:
    """A fitted machine; ``tried``: the settings of the search, each with its mean ``auc``, empty where none was made.

    ``pipeline``: from rows of numbers (n, features) to a decision.
    """

    pipeline: Pipeline
    chosen: Chosen
    tried: tuple[dict, ...]

    def decisions(self, images: np.ndarray) -> np.ndarray:
        """Return decisions on network input (n, …) of any float: float64, (n, 1); log-odds, or an SVM's distances.

        The last bits of a row's decision do not depend on the rows beside it.
        """
        rows = images.reshape(len(images), -1).astype(np.float64)
        missing = -len(rows) % _BLOCK
        filled = np.concatenate([rows, np.zeros((missing, rows.shape[1]))])
        blocks = [self.pipeline.decision_function(block) for block in filled.reshape(-1, _BLOCK, rows.shape[1])]
        return np.concatenate(blocks)[: len(rows), None]

    @property
    def coefficients(self) -> int:
        """How many numbers the classifier learned: its coefficients (of an SVC its dual ones) and the intercept."""
        classifier = self.pipeline["classifier"]
        return (classifier.dual_coef_ if isinstance(classifier, SVC) else classifier.coef_).size + 1

    @property
    def eigenvalues(self) -> np.ndarray | None:
        """All positive eigenvalues of the centred kernel matrix, descending; None without principal components."""
        return getattr(self.pipeline.named_steps.get("map"), "eigenvalues_", None)


def fit_machine(
    settings: KernelLearner, rows: np.ndarray, labels: np.ndarray, seeds: Seeds, chosen: Chosen | None = None
) -> KernelMachine:
    """Fit a machine to rows (n, features) with labels 0 and 1, with the settings ``chosen`` or else searched for.

    The same arguments give the same machine. Standardisation and span are those of all rows, in the search too: they
    know nothing of labels. Random features are made from the rows themselves: they do not follow from a kernel's
    values, and the length outside of the span, 0 only for training rows, would shift those of all other rows.
    """
    span = [] if settings.approximation == "random" else [TrainingSpan()]
    basis = make_pipeline(StandardScaler(copy=False), *span)
    coordinates = basis.fit_transform(rows.astype(np.float64))
    tried: tuple[dict[str, Any], ...] = ()
    if chosen is None:
        tried = _searched(settings, coordinates, labels, rows.shape[1], seeds)
        best = tried[int(np.argmax([one["auc"] for one in tried]))]
        chosen = {name: value for name, value in best.items() if name != "auc"}
    machine = _machine(settings, seeds.map)
    machine.set_params(**{f"{_owner(settings, name)}__{name}": value for name, value in chosen.items()})
    machine.fit(coordinates, labels)
    return KernelMachine(Pipeline([*basis.steps, *machine.steps]), chosen, tried)


def _machine(settings: KernelLearner, seed: int) -> Pipeline:
    """Return the steps from coordinates to a decision, not fitted."""
    if settings.method == "svm" and settings.approximation == "none":
        return Pipeline([("classifier", SVC(kernel=SVC_KERNELS[settings.kernel]))])
    # Newton's method, because the features' variances differ by powers of ten
    classifier = LogisticRegression(solver="newton-cholesky", max_iter=1000, tol=1e-6)
    if settings.method == "svm":
        classifier = LinearSVC(dual=False, max_iter=10_000)
    return Pipeline([("map", _map(settings, seed)), ("length", UnitLength()), ("classifier", classifier)])


def _map(settings: KernelLearner, seed: int) -> BaseEstimator:
    """Return the feature map of a kernel, exact or approximated."""
    if settings.method == "pca":
        return KernelComponents(settings.kernel)
    if settings.approximation != "random":
        components = settings.objects if settings.approximation == "none" else settings.components
        return Landmarks(settings.kernel, n_components=components, random_state=seed)
    sampler = RBFSampler if settings.kernel == "rbf" else PolynomialCountSketch
    return sampler(n_components=settings.components, random_state=seed)


def _owner(settings: KernelLearner, name: str) -> str:
    """Return the step that a setting belongs to."""
    exact_svm = settings.method == "svm" and settings.approximation == "none"
    return "classifier" if name == "C" or exact_svm else "map"


def _space(settings: KernelLearner, features: int) -> dict:
    """Return what the search draws from. Of standardised rows gamma = 1 / features makes a kernel's argument 1."""
    space: dict[str, Any] = {"gamma": loguniform(1e-2 / features, 1e1 / features), "C": loguniform(1e-3, 1e3)}
    if settings.kernel == "polynomial":
        space |= {"degree": [2, 3], "coef0": uniform(0, 2)}
    if settings.kernel == "sigmoid":
        space |= {"coef0": uniform(-1, 2)}  # -1 to 1
    if settings.method == "pca":
        fewer = [count for count in COMPONENTS if count < settings.components]
        space |= {"n_components": [*fewer, settings.components]}
    return space


def _searched(
    settings: KernelLearner, coordinates: np.ndarray, labels: np.ndarray, features: int, seeds: Seeds
) -> tuple[dict, ...]:
    """Draw settings at random; return each with its AUC, the mean over the parts that it was fitted without."""
    search = RandomizedSearchCV(
        _machine(settings, seeds.map),
        {f"{_owner(settings, name)}__{name}": values for name, values in _space(settings, features).items()},
        n_iter=settings.settings_tried,
        scoring="roc_auc",
        n_jobs=1,
        refit=False,
        cv=StratifiedKFold(PARTS, shuffle=True, random_state=seeds.parts),
        random_state=seeds.settings,
        error_score="raise",
    )
    search.fit(coordinates, labels)
    found = zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    return tuple({**{key.split("__")[1]: _plain(value) for key, value in p.items()}, "auc": float(a)} for p, a in found)


def _plain(value: float | np.generic) -> float | int:
    return value.item() if isinstance(value, np.generic) else value
