"""What learns: a network, a kernel machine, or a classifier on features of another's network."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from lensfold.config.reading import Settings

#: networks that frozen features can come from: those with ImageNet weights
PretrainedName = Literal[
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_b0", "efficientnet_v2_b1", "efficientnet_v2_b2", "efficientnet_v2_b3",
    "efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l",
    "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2",
]  # fmt: skip
NetworkName = Literal["paper_cnn", "fast_cnn", "wide_cnn", PretrainedName]
PositiveInt = Annotated[int, Field(ge=1)]


class NetworkLearner(Settings):
    """A network; the names are those of lensfold.models."""

    kind: Literal["network"] = "network"
    name: NetworkName = "fast_cnn"
    #: EfficientNets: VIS and the NISP bands each in a backbone of their own, at their own pixels (pixels.mix = "bands")
    two_branches: bool = False
    #: EfficientNets: widths of dense layers between the features and the logit
    dense: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    weights: Literal["none", "imagenet", "lensfold", "file"] = "none"
    #: the file to start from; where it is not given, of ImageNet's the one that keras or the weight package keeps, of
    #: "lensfold" the best in weights/ that fits
    weights_file: str | None = None
    #: of a file to start from, found where none is given: another file of the same name is another run
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    #: of a network of lensfold to start from, the classifier too; of "lensfold" it is kept unless this is said
    weights_head: bool = False
    #: only the head learns; the backbone's features are computed once, without augmentation
    frozen: bool = False

    @property
    def backbone(self) -> "NetworkLearner | None":
        """The frozen network whose features are learned from; None where pixels are."""
        return self if self.frozen else None

    @property
    def sees_features(self) -> bool:
        """Whether it learns from one set of features an object, without augmentation, in the place of pixels."""
        return self.frozen

    @model_validator(mode="after")
    def _published_classifier_is_kept(self) -> "NetworkLearner":
        if self.weights == "lensfold" and not self.frozen and "weights_head" not in self.model_fields_set:
            object.__setattr__(self, "weights_head", True)  # still being made; a frozen class has no other way
        return self

    @model_validator(mode="after")
    def _file_is_named(self) -> "NetworkLearner":
        if self.weights == "file" and not self.weights_file:
            raise ValueError('weights = "file" needs weights_file, the path of the file')
        if self.weights not in ("lensfold", "file") and (self.weights_sha256 or self.weights_head):
            raise ValueError('weights_sha256 and weights_head need weights = "lensfold" or "file"')
        if self.frozen and self.weights_head:
            raise ValueError("frozen = true trains a classifier of its own: leave weights_head out")
        return self


class KernelLearner(Settings):
    """A kernel machine, see `lensfold.models.kernel_machines`."""

    kind: Literal["kernel"]
    #: the pixels as they are, or the features of a frozen network with ImageNet weights
    sees: Literal["raw_pixels", PretrainedName] = "raw_pixels"
    #: logistic regression, a support vector machine, or kernel principal components and logistic regression on them
    method: Literal["logistic", "svm", "pca"]
    #: "sigmoid" is the hyperbolic tangent
    kernel: Literal["rbf", "polynomial", "sigmoid"] = "rbf"
    #: the kernel as it is, or by random features (Monte Carlo), or by its values at some of the objects
    approximation: Literal["none", "random", "nystroem"] = "none"
    #: training objects, half of them lenses; fewer where one class has fewer
    objects: Annotated[int, Field(ge=6, multiple_of=2)] = 1000
    #: features of the approximation, or the most principal components
    components: PositiveInt = 300
    #: settings of kernel and classifier that the search tries, each on three parts of the training objects
    settings_tried: PositiveInt = 12

    @property
    def backbone(self) -> NetworkLearner | None:
        """The frozen network whose features are learned from; None where pixels are."""
        if self.sees == "raw_pixels":
            return None
        return NetworkLearner(name=self.sees, weights="imagenet", frozen=True)

    @property
    def sees_features(self) -> bool:
        """Whether it learns from one set of features an object, without augmentation, in the place of pixels."""
        return self.backbone is not None

    @model_validator(mode="after")
    def _approximation_exists(self) -> "KernelLearner":
        if self.approximation == "random" and self.kernel == "sigmoid":
            raise ValueError('the sigmoid kernel has no random features: set approximation = "none" or "nystroem"')
        if self.approximation != "none" and self.method == "pca":
            raise ValueError('method = "pca" has no approximation: leave it out')
        return self


class GivenFeatures(Settings):
    """A classifier on features that another's network gave, see `lensfold.data.given_features`."""

    kind: Literal["given_features"]
    #: folder with a folder a pack, of the files train.npy, train_ids.npy, test.npy and test_ids.npy
    features: Annotated[str, Field(min_length=1)]
    #: widths of dense layers between the features and the logit
    dense: tuple[PositiveInt, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2

    @property
    def backbone(self) -> None:
        """None: it is another's, and not here."""
        return

    @property
    def sees_features(self) -> bool:
        """Whether it learns from one set of features an object, without augmentation, in the place of pixels."""
        return True


def _kind_of_learner(content: object) -> object:
    """Return the kind that a learner's settings name; a network where they name none."""
    return content.get("kind", "network") if isinstance(content, dict) else getattr(content, "kind", None)


#: what learns: a network, with ``kind = "kernel"`` a kernel machine, with "given_features" a classifier on features
Learner = Annotated[
    Annotated[NetworkLearner, Tag("network")]
    | Annotated[KernelLearner, Tag("kernel")]
    | Annotated[GivenFeatures, Tag("given_features")],
    Discriminator(
        _kind_of_learner,
        custom_error_type="unknown_kind",
        custom_error_message="kind should be 'network', 'kernel' or 'given_features'",
    ),
]
