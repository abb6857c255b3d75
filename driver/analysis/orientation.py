"""The orientation of a scan's positions: 8 flips and transposes, ranked by how well they explain the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_measures import scale_is_rough
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.trials import middle_positions, part_of, ranked, trial_loss


@dataclass(frozen=True)
class Orientation:
    """One way to read positions: rows and columns are exchanged first, then reversed.

    Attributes
    ----------
    swap, flip_rows, flip_columns : bool
        As the arguments of `ptyxrf.read_scan`.
    """

    swap: bool
    flip_rows: bool
    flip_columns: bool

    @property
    def name(self) -> str:
        """The flags of the command that read positions this way, or "as it is"."""
        names = [name for name in ("swap", "flip_rows", "flip_columns") if getattr(self, name)]
        return " ".join("--" + name.replace("_", "-") for name in names) or "as it is"

    def apply(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions in this orientation, their smallest row and column 0.

        Parameters
        ----------
        positions : (N, 2) array of float
            (row, column) as they are read without any flag.
        """
        turned = positions[:, ::-1] if self.swap else positions
        turned = turned * np.where([self.flip_rows, self.flip_columns], -1.0, 1.0)
        return turned - turned.min(axis=0)


ORIENTATIONS = tuple(Orientation(*flags) for flags in product((False, True), repeat=3))


def probe_scale_is_rough(scan: Scan, indices: NDArray[np.intp]) -> bool:
    """Return whether the probe carries far more or fewer counts than the patterns of these positions."""
    patterns = np.asarray(scan.patterns[indices], dtype=np.float64)
    mask = scan.mask_at(indices)
    if mask is not None:
        patterns = np.where(mask, patterns, 0.0)
    return scale_is_rough(scan.probe, float(patterns.sum(axis=(1, 2)).mean()))


def rank_orientations(
    scan: Scan,
    *,
    patterns: int = 100,
    max_sweeps: float = 30.0,
    report: Callable[[str], None] | None = None,
) -> list[tuple[Orientation, float]]:
    """Rank the 8 flips and transposes of a scan's positions by the loss after a short reconstruction.

    Neighbouring patterns agree about the object that they share only if their positions are right. Only
    patterns around the middle are used. The probe is refined if its scale shows that it is a rough guess. A
    probe that equals its own conjugate turned by 180 degrees (a focused, symmetric one) cannot distinguish an
    orientation from the same turned by 180 degrees: the two have equal losses.

    Parameters
    ----------
    scan : Scan
        With the positions as they are read without flags.
    patterns : int
        Number of patterns, at most.
    max_sweeps : float
        Sweeps for each orientation.
    report : callable, optional
        Called with a line of text after each orientation.

    Returns
    -------
    list of (Orientation, float)
        The best first, with the loss of ptychography in units of the mean count.

    Raises
    ------
    ValueError
        patterns is below 2.
    """
    if patterns < 2:
        raise ValueError(f"patterns: expected at least 2, got {patterns}")
    chosen = middle_positions(scan.positions, patterns)
    rough = probe_scale_is_rough(scan, chosen)
    data = np.asarray(scan.patterns[chosen])
    model = Model(
        method="ptychography",
        precision="single",
        refine_probe=rough,
        rescale_probe=rough,
        memory="low",
    )
    compile_kernels(scan, model, products=False)

    def loss_of(orientation: Orientation) -> float:
        loss = trial_loss(part_of(scan, chosen, orientation.apply, data), model, max_sweeps)
        if report is not None:
            report(f"{orientation.name}: loss {loss:.6g} mean counts")
        return loss

    return ranked(ORIENTATIONS, loss_of)
