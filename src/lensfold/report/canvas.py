"""A page of pictures and text, placed pixel by pixel and written as PNG.

Pixels are enlarged by whole factors and never interpolated. Of matplotlib only Figure and FigureCanvasAgg are used,
which do not touch its global state.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from lensfold.files import replacing

#: a power of two, so that a page's size in inches gives back its pixels exactly
DPI = 128
#: border of a page in screen pixels; length of the scale bars in arcsec
MARGIN, BAR = 24, 2.0


class Canvas:
    """A white page measured in pixels from its top left corner: frames pixel by pixel, text on top of them."""

    def __init__(self, width: int, height: int, title: str, synthetic: bool) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(self.figure)
        if synthetic:
            self.text(width - MARGIN, 20, "SYNTHETIC", 14, color="#cc3311", weight="bold", ha="right")
        self.text(MARGIN, 20, title, 14, room=width - 2 * MARGIN - 190 * synthetic, weight="bold")

    def text(self, left: int, top: int, text: str, size: float, room: int | None = None, **style: Any) -> None:
        """Write a line of text as it is ("$" too), cut to fit into ``room`` pixels; "?" for what the font may lack."""
        text = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in text)
        place: dict[str, Any] = {
            "va": "top",
            "fontsize": size,
            "parse_math": False,
            "usetex": False,
            "family": "DejaVu Sans",
        }
        artist = self.figure.text(left / self.width, 1 - top / self.height, text[:300], **place, **style)
        for end in range(min(300, len(text)) - 1, 0, -1):
            if room is None or artist.get_window_extent().width <= room:
                break
            artist.set_text(text[:end] + "...")

    def frame(self, left: int, top: int, shown: np.ndarray, zoom: int, scale: float, label: str = "") -> None:
        """Draw a frame, first row at the bottom as in FITS, each pixel ``zoom`` × ``zoom``, with a bar of BAR arcsec.

        ``shown``: uint8 (height, width, 3); ``scale``: arcsec a pixel; ``label`` stands above the frame.
        """
        enlarged = shown[::-1].repeat(zoom, axis=0).repeat(zoom, axis=1)
        x, y, length = 3 + 3 * zoom, len(enlarged) - 4 - 3 * zoom, round(zoom * BAR / scale)
        enlarged[y - 5 : y + 1, x - 1 : x + length + 1] = 0
        enlarged[y - 4 : y, x : x + length] = 255
        # one image a frame, not one for the page: matplotlib copies each to many times its size
        self.figure.figimage(enlarged, left, self.height - top - len(enlarged), origin="upper", zorder=-1)
        if label:
            edge = [withStroke(linewidth=2.5, foreground="black")]
            self.text(left + x, top + y - 30, f'{BAR:g}"', 9, color="white", path_effects=edge)
            self.text(left, top - 24, label, 9)

    def axes(self, left: int, top: int, width: int, height: int) -> Axes:
        """Return new axes at a place in pixels."""
        x, y = left / self.width, (self.height - top - height) / self.height
        return self.figure.add_axes((x, y, width / self.width, height / self.height))

    def save(self, path: Path) -> None:
        """Write the PNG. Raises InputError where it cannot be written."""
        with replacing(path) as temporary:
            self.figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
