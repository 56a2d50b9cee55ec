"""VIS and NISP out of one array of four channels, each at pixels of its own.

``pixels.linear_channels`` with mix "bands" spreads NISP over the VIS grid by exactly x 3 with bilinear
interpolation, from one VIS pixel in: NISP pixel k has its centre on that of VIS pixel 2 + 3 k of the frame, and
there the interpolation leaves its value as it was. Taking every third pixel from the right one on gives back the
NISP frame, so a network needs no second input, and a flip or a rotation of the one array is the same for both. The
centres of a frame of 100 are those of its part of a frame of 200; all 100 pixels have a centre on their outermost ones
too, and there its NISP pixels are those beside them once more.

The layers are keras' own, since a saved network must load where this module was never imported.
"""

import keras
from keras import layers

from lensfold.errors import InputError
from lensfold.frames import BANDS, RATIO, SIDES, rim

_SIDE = max(SIDES)


def check_bands(name: str, pixels: int, channels: int) -> None:
    """Raise InputError unless an input can be taken apart: VIS, Y, J, H on a central crop of even side."""
    if channels != len(BANDS):
        raise InputError(
            f"model {name}: {channels} channels. Expected {len(BANDS)}, {', '.join(BANDS)} in this order, since it "
            'sees NISP at its own pixels. Set pixels.mix = "bands", and take another model for another mix.'
        )
    if pixels % 2 or pixels > _SIDE:
        raise InputError(
            f"model {name}: {pixels} pixels cannot be a central crop of the VIS frame. Expected an even number up to "
            f"{_SIDE}. Set pixels.crop to it, and pixels.bin = 1."
        )


def first_centre(pixels: int) -> int:
    """Return the row (and column) of the first centre of a NISP pixel in a central crop of even side: 0, 1 or 2.

    The last one lies as far from the other edge: even crops leave the four corners alike.
    """
    return (rim(_SIDE) + RATIO // 2 - (_SIDE - pixels) // 2) % RATIO


def vis_band(image: keras.KerasTensor) -> keras.KerasTensor:
    """Return VIS of (None, side, side, 4): (None, side, side, 1)."""
    # "channels_first" makes the layer crop its axes 2 and 3, which here are the columns and the bands
    return layers.Cropping2D(((0, 0), (0, len(BANDS) - 1)), data_format="channels_first", name="vis_band")(image)


def nisp_pixels(image: keras.KerasTensor) -> keras.KerasTensor:
    """Return the original Y, J and H pixels under (None, side, side, 4): (None, n, n, 3) with n about side / 3."""
    x = layers.Cropping2D(((0, 0), (1, 0)), data_format="channels_first", name="nisp_bands")(image)
    x = layers.Cropping2D(first_centre(image.shape[1]), name="nisp_crop")(x)
    # the maximum of one pixel is that pixel: only the stride acts
    return layers.MaxPooling2D(1, strides=RATIO, name="nisp_pixels")(x)
