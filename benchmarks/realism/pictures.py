"""The picture of a run: phases of object and truth, the probe, and the errors of the positions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from shared import module

from ptyxrf.driver.files.whole_file import whole_file
from ptyxrf.driver.pictures.colours import colour_limits, hue_image
from ptyxrf.driver.pictures.sheet import Sheet, add_colour_bar, finish_map
from ptyxrf.driver.reconstruction.alignment import without_null_directions

if TYPE_CHECKING:
    from run_case import Found

#: Pixels with less than this fraction of the most light are blank.
LIT = 0.02
#: Lengths of arrows as multiples of the error of a position.
MAGNIFIED = 3.0
#: Colours of the errors before and after.
GIVEN, FOUND = "0.7", "C3"
#: Most probe modes that are drawn.
SHOWN_MODES = 4


def draw(path: Path, name: str, data: Mapping[str, Any], found: Found, record: Mapping[str, Any]) -> None:
    """Draw a run as PNG.

    Parameters
    ----------
    path : Path
        The file; its folder is made.
    name : str
        Of the case.
    data : dict
        Of `scans.data_of`.
    found : Found
    record : dict
        Of `run_case.run`.
    """
    known = "obj" in data
    sheet = Sheet([(1.0, [1, 1, 1, 1] if known else [2, 2])])
    shares = f"{name}, seed {record['seed']}, specimen {record['specimen']}" if known else name
    shown = ("object", "object_affine", "positions", "positions_affine", "loss")
    sheet.title(shares, "   ".join(f"{key} {record[key]:.3g}" for key in shown if key in record))
    _draw_phases(sheet, data, found)
    _draw_probe(sheet.panel(), found.probe)
    if known:
        _draw_arrows(sheet.panel(), data, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        sheet.figure.savefig(temporary, format="png")


def _draw_phases(sheet: Sheet, data: Mapping[str, Any], found: Found) -> None:
    """Draw the phase of the object, aligned with the truth where there is one, and that of the truth."""
    if "obj" not in data:
        area = _lit_area(found, data["nominal"])
        phase = np.angle(without_null_directions(found.object, area, ramp=True))
        _show_phase(sheet.panel(), phase, area, colour_limits(phase[area]), "object: phase")
        return
    truth, area = data["obj"], data["light"] > LIT * data["light"].max()
    score = module("score")
    try:
        aligned = score.align(found.object, truth, score.area_of(data), True)[0]
    except np.linalg.LinAlgError:
        aligned = found.object
    limits = colour_limits(np.angle(truth)[area])
    _show_phase(sheet.panel(), np.angle(aligned), area, limits, "object: phase, aligned")
    _show_phase(sheet.panel(), np.angle(truth), area, limits, "truth: phase")


def _lit_area(found: Found, positions: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the object gets light, from the probe that was found."""
    light = np.zeros(found.object.shape)
    beam, m = (np.abs(found.probe) ** 2).sum(axis=0), found.probe.shape[-1]
    for row, column in np.floor(positions).astype(int):
        light[row : row + m, column : column + m] += beam
    return light > LIT * light.max()


def _show_phase(
    axes: Axes, phase: NDArray[Any], area: NDArray[np.bool_], limits: tuple[float, float], title: str
) -> None:
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    shown = np.ma.masked_where(~area, phase)[box]
    picture = axes.imshow(shown, cmap="cividis", norm=Normalize(*limits), interpolation_stage="data")
    finish_map(axes, title, shown.shape, 1.0, metric=False)
    add_colour_bar(axes, picture, "rad")


def _draw_probe(axes: Axes, probe: NDArray[Any]) -> None:
    """Draw the strongest modes, with their shares of the power in the title."""
    power = (np.abs(probe) ** 2).sum(axis=(1, 2))
    order = np.argsort(-power, kind="stable")[:SHOWN_MODES]
    m, side = probe.shape[-1], 1 if len(order) == 1 else 2
    shown = np.zeros((side * m, side * m, 3))
    for place, k in enumerate(order):
        row, column = (m * index for index in divmod(place, side))
        full = float(np.percentile(np.abs(probe[k]), 99.9)) or 1.0
        shown[row : row + m, column : column + m] = hue_image(probe[k], full)
    axes.imshow(shown)
    shares = " ".join(f"{100 * power[k] / power.sum():.3g}" for k in order)
    title = "probe (hue: phase)" if len(order) == 1 else f"probe: modes of {shares} %"
    finish_map(axes, title, shown.shape[:2], 1.0, metric=False)


def _draw_arrows(axes: Axes, data: Mapping[str, Any], found: Found) -> None:
    """Draw at each true position the errors of the given and of the found one, without their means."""
    true = data["true"]
    for positions, colour in ((data["nominal"], GIVEN), (found.positions, FOUND)):
        error = positions - true
        error = error - error.mean(axis=0)
        axes.quiver(
            true[:, 1], true[:, 0], error[:, 1], error[:, 0], color=colour, angles="xy", scale_units="xy",
            scale=1 / MAGNIFIED, width=0.004,
        )  # fmt: skip
    first, last = true.min(axis=0) - 6, true.max(axis=0) + 6
    axes.set(xlim=(first[1], last[1]), ylim=(last[0], first[0]), aspect="equal")
    axes.tick_params(labelsize=8)
    axes.set_title(f"position errors x {MAGNIFIED:g} (grey: given)", size=10.5, loc="left", pad=5)
