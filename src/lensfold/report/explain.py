"""Where a network sees a lens: occlusion maps and Grad-CAM of single objects, by the fold that held them out.

A map has one value an input pixel. Occlusion (Zeiler & Fergus 2014): by how much the output falls when a square about
the pixel is background, so that both signs mean something and nothing of the network need be known. Grad-CAM
(Selvaraju et al. 2017): the last convolution's channels, weighted by the mean gradient of the output, where positive.
The output is the logit, or of a run of Einstein radii log theta_E, of the object as it lies: without the mean over
flips and rotations that prediction may take.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lensfold.config import Experiment, PixelSettings
from lensfold.console import progress
from lensfold.data.cache import Cache, split_bands
from lensfold.errors import InputError
from lensfold.files import replacing
from lensfold.inputs.batches import Preparation
from lensfold.inputs.pixels import StretchConstants
from lensfold.models.backend import make_repeatable
from lensfold.models.saved import load_model
from lensfold.models.start.binding import located
from lensfold.paths import Pack, Workspace
from lensfold.prediction.saliency import PATCH, STEP, background_value, grad_cam, occlusion_map, scored_by
from lensfold.report.stretch import Images, Sigmas, colour, grey
from lensfold.runs.run import Run

if TYPE_CHECKING:
    import keras

METHODS = ("occlusion", "grad-cam")
#: key of a PNG's text that has the SHA-256 of the network it explains
NETWORK = "Network"


def explain_objects(
    workspace: Workspace, pack: Pack, name: str, ids: Sequence[int], method: str = "occlusion"
) -> list[Path]:
    """Write ``runs/<pack>/<experiment>/explain/<ID>.png`` of each object: VIS, colour, and the map over VIS.

    Each by the fold that held it out. Raises InputError for an unknown method, and, before anything is written, for an
    ID that no complete fold has held out or whose cutout is gone.
    """
    if method not in METHODS:
        raise InputError(f"--method {method!r}: expected one of: {', '.join(METHODS)}.")
    run = Run(workspace.run(pack.name, name))
    run.check_pack()
    experiment, config = located(run.settings, workspace.root), run.config
    if run.is_kernel_machine:
        raise InputError(f"{run.folder}: a kernel machine, which is not explained: choose a run of a network.")
    if experiment.learner.kind == "given_features":
        raise InputError(f"{run.folder}: its network was given features and sees no pixels: choose a run of a network.")
    folds = _held_out_by(run, ids)
    make_repeatable(experiment.train.threads)
    synthetic = pack.is_simulated
    where = f"{name}, pack {pack.name}{', SYNTHETIC' if synthetic else ''}"
    written = {}
    with Cache(workspace.cache(pack, "train")) as cache, progress(f"explain {name}") as report:
        gone = next((i for i in ids if i not in cache.ids), None)
        if gone is not None:
            raise InputError(f"ID {gone} is not in {cache.folder}: build it again (lensfold cache), or leave it out.")
        preparation = Preparation(cache, experiment, config["constants"])
        for fold in sorted(set(folds.values())):
            run.check_network(fold)
            network = run.marker(fold)["network"]
            model = _whole_network(experiment, load_model(run.network_file(fold)))
            for object_id in (i for i in ids if folds[i] == fold):
                values = _map_of(model, preparation, object_id, config["constants"], method)
                path = run.folder / "explain" / f"{object_id}.png"
                title = f"{object_id}: {where}, fold {fold}"
                draw(
                    path,
                    split_bands(cache.read([object_id])[0]),
                    cache.sigma,
                    values,
                    experiment,
                    method,
                    title,
                    network,
                )
                written[object_id] = path
                report(len(written), len(folds))
    return [written[i] for i in dict.fromkeys(ids)]


def _held_out_by(run: Run, ids: Sequence[int]) -> dict[int, int]:
    """Return the fold that held out each object; InputError where none did."""
    oof = run.oof()
    absent = next((i for i in ids if i not in oof.index), None)
    if absent is not None:
        first = ", ".join(map(str, oof.index[:3]))
        raise InputError(f"{run.folder}: no complete fold has held out ID {absent}. It has IDs like {first}.")
    return {i: int(oof["fold"][i]) for i in ids}


def _whole_network(experiment: Experiment, model: "keras.Model") -> "keras.Model":
    """Return the network from pixels to output; a frozen run's file has only the head, so its backbone is added."""
    if experiment.learner.backbone is None:
        return model
    import keras

    from lensfold.models import network_of, split_at_head

    backbone, _ = split_at_head(network_of(experiment))
    return keras.Model(backbone.input, model(backbone.output))


def _map_of(
    model: "keras.Model", preparation: Preparation, object_id: int, constants: StretchConstants, method: str
) -> np.ndarray:
    image = preparation.plain(np.array([object_id]))[0]
    if method == "grad-cam":
        return grad_cam(model, image)
    patch, step = (max(1, round(share * len(image))) for share in (PATCH, STEP))
    return occlusion_map(scored_by(model), image, background_value(constants), patch, step)


def on_frame(values: np.ndarray, pixels: PixelSettings, side: int) -> np.ndarray:
    """Return a map of the network's input on the VIS frame of this side, float64; NaN outside the central crop."""
    start = (side - pixels.crop) // 2
    whole = np.full((side, side), np.nan)
    whole[start : start + pixels.crop, start : start + pixels.crop] = values.repeat(pixels.bin, 0).repeat(pixels.bin, 1)
    return whole


def draw(
    path: Path,
    images: Images,
    sigma: Sigmas,
    values: np.ndarray,
    experiment: Experiment,
    method: str,
    title: str,
    network: str,
) -> None:
    """Write the PNG of one object: VIS, colour, and VIS with the map over it; axes in arcsec, first row below.

    ``network``: its SHA-256, kept in the PNG under NETWORK, so that a report shows no map of another network.
    """
    figure = Figure(figsize=(13.2, 4.9), dpi=128)
    FigureCanvasAgg(figure)
    figure.text(0.012, 0.975, title, va="top", fontsize=14, weight="bold", parse_math=False)
    half = 0.05 * len(images["VIS"])
    frame: dict[str, Any] = {"origin": "lower", "extent": (-half, half, -half, half), "interpolation": "nearest"}
    vis = grey(images["VIS"], sigma["VIS"], "VIS")
    names = ("VIS", "colour: H, mean(Y, J), VIS", f"{method}; cyan: what the network sees")
    for number, (name, shown) in enumerate(zip(names, (vis, colour(images, sigma), vis), strict=True)):
        axes = figure.add_axes((0.045 + 0.298 * number, 0.12, 0.267, 0.72))
        axes.imshow(shown, **frame)
        axes.set_title(name, fontsize=11, loc="left")
        ticks = np.arange(-half, half + 1, half / 2 if half < 10 else 5)
        axes.set(xticks=ticks, yticks=ticks, xlabel="arcsec")
        axes.tick_params(labelleft=number == 0)
    placed = on_frame(values, experiment.pixels, len(images["VIS"]))
    largest = float(np.nanmax(np.abs(placed))) or 1.0
    low, colours = (-largest, "RdBu_r") if method == "occlusion" else (0.0, "inferno")
    # the more a place matters, the less of the object shows through
    opacity = np.nan_to_num(0.8 * np.sqrt(np.abs(placed) / largest))
    axes.imshow(placed, vmin=low, vmax=largest, cmap=colours, alpha=opacity, **frame)
    seen = 0.05 * experiment.pixels.crop
    axes.add_patch(Rectangle((-seen, -seen), 2 * seen, 2 * seen, fill=False, color="cyan", linewidth=1))
    shades = ScalarMappable(Normalize(low, largest), colours)
    bar = figure.colorbar(shades, cax=figure.add_axes((0.918, 0.12, 0.012, 0.72)))
    output = "logit" if experiment.task == "lens" else "log θ_E"
    bar.set_label(f"fall of the {output} where hidden" if method == "occlusion" else f"pull on the {output}")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None, NETWORK: network})
