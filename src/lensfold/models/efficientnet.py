"""A backbone of the EfficientNets, or one for VIS and one for NISP, under a classifier of our own: one logit."""

import keras
from keras import layers

from lensfold.models import bands
from lensfold.models.backbones import backbone

#: stages whose last output the head sees; "" is the top convolution
_HEAD_STAGES = ("3", "4", "5", "6", "")


def efficientnet(
    name: str,
    pixels: int,
    channels: int,
    *,
    dropout: float,
    dense: tuple[int, ...],
    two_branches: bool,
) -> keras.Model:
    """Build an EfficientNet: (None, pixels, pixels, channels) float32 -> (None, 1) float32 logit.

    ``two_branches`` takes VIS, Y, J and H in four channels apart and gives VIS and the original NISP pixels a
    backbone each, layers "vis_*" and "nisp_*", whose features the head sees side by side (late fusion). Raises
    InputError for two branches of an input that is not four bands.
    """
    if two_branches:
        bands.check_bands(f"{name} with two_branches = true", pixels, channels)
    image = keras.Input((pixels, pixels, channels), name="image")
    inputs = {"": image}
    if two_branches:
        inputs = {"vis_": bands.vis_band(image), "nisp_": bands.nisp_pixels(image)}
    ends = {
        prefix + stage: end
        for prefix, x in inputs.items()
        for stage, end in backbone(name, x, prefix).items()
        if stage in _HEAD_STAGES
    }
    return keras.Model(image, _head(ends, dropout, dense), name=name)


def _head(ends: dict[str, keras.KerasTensor], dropout: float, dense: tuple[int, ...]) -> keras.KerasTensor:
    """Return a logit: average and maximum of the features of several stages, normalised, then dense units.

    The later stages of a frozen backbone know animals and furniture; the middle ones recognise an arc. Features
    differ in scale by factors of a hundred; normalised, the logit learns in a few epochs. Momentum 0.9, since the
    default needs 500 steps before predictions use the right statistics.
    """
    pooled = []
    for stage, x in ends.items():
        average, maximum = _pooled_names(stage)
        pooled.append(layers.GlobalAveragePooling2D(name=average)(x))
        pooled.append(layers.GlobalMaxPooling2D(name=maximum)(x))
    return classified(layers.Concatenate(name="head_features")(pooled), dropout, dense)


def classified(features: keras.KerasTensor, dropout: float, dense: tuple[int, ...]) -> keras.KerasTensor:
    """Return the logit of features (None, n) of any scale: normalised, then dense layers of these widths."""
    x = layers.BatchNormalization(momentum=0.9, name="head_bn")(features)
    x = layers.Dropout(dropout, name="head_dropout")(x)
    for number, width in enumerate(dense, start=1):
        x = layers.Dense(width, activation="swish", name=f"head_dense{number}")(x)
        x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    # float32 also where the network computes in 16 bits: a logit of those has three digits
    return layers.Dense(1, dtype="float32", name="head_logit")(x)


def _pooled_names(stage: str) -> tuple[str, str]:
    """Return names of the two poolings: of stage "3" head_average3, of "vis_3" head_vis_average3, and the maximum's."""
    branch, _, number = stage.rpartition("_")
    prefix = f"head_{branch}_" if branch else "head_"
    return f"{prefix}average{number}", f"{prefix}maximum{number}"
