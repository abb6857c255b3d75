"""What a reconstruction returns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.history import IterationRecord, Reason
from ptyxrf.parallel.gather import gather_positions, gather_tiles
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile


@dataclass
class Result:
    """The reconstructed object, element maps and probe, and how they came about.

    Attributes
    ----------
    object : (n_rows, n_cols) array of complex
        z = x + i y.
    elements : (N_e, n_rows, n_cols) array of float
        w_e; N_e = 0 for ptychography alone.
    probe : (K, m, m) array of complex
        Refined, or as given.
    history : list of IterationRecord
        The start, then one record per outer iteration.
    reason : Reason
        Why the solver stopped.
    method : str
        "joint", "ptychography" or "fluorescence".
    settings : dict
        Everything that was set, as plain numbers and strings, and what was derived from it (alpha).
    predicted_fluorescence : array of float, optional
        A_e w_e + B_e, of the shape of the scan's fluorescence.
    pattern_misfit : (N,) array of float, optional
        1/2 || M_j (|psi_j| - b_j) ||^2 for each position.
    """

    object: NDArray[Any]
    elements: NDArray[Any]
    probe: NDArray[Any]
    history: list[IterationRecord]
    reason: Reason
    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    predicted_fluorescence: NDArray[np.float64] | None = None
    pattern_misfit: NDArray[np.float64] | None = None

    def gather(self) -> Result:
        """Return the result itself: it has global arrays already (see `TiledResult` for several ranks)."""
        return self

    @property
    def loss(self) -> float:
        """Loss at the end."""
        return self.history[-1].loss

    def __repr__(self) -> str:
        return (
            f"<Result: {self.method}, object {self.object.shape[0]} x {self.object.shape[1]}, "
            f"{len(self.elements)} elements, {self.history[-1].iteration} iterations, loss {self.loss:.6g}: "
            f"{self.reason.value}>"
        )


@dataclass
class TiledResult:
    """The result of a reconstruction that several ranks share; each has a part.

    ``probe``, ``history``, ``reason``, ``method``, ``settings`` and ``loss`` are the same on every rank.
    What covers the whole grid or all positions is there after `gather`.

    Attributes
    ----------
    part : Result
        Object and element maps on the pixels that this rank owns; predicted fluorescence there or, where it
        was recorded at the positions, and misfit at ``tile.positions``.
    tile : Tile
        Which pixels and positions these are.
    ranks : Ranks
        The others.
    """

    part: Result
    tile: Tile
    ranks: Ranks

    def gather(self) -> Result:
        """Return the result with global arrays on every rank; all ranks take part.

        Each rank then holds the whole object: `ptyxrf.write_result` does not need it.
        """
        part, tile, comm = self.part, self.tile, self.ranks.comm
        predicted, misfit = part.predicted_fluorescence, part.pattern_misfit
        if predicted is not None:
            gather = gather_tiles if predicted.ndim == 3 else gather_positions
            predicted = gather(comm, tile, predicted)
        return replace(
            part,
            object=gather_tiles(comm, tile, part.object[None])[0],
            elements=gather_tiles(comm, tile, part.elements),
            predicted_fluorescence=predicted,
            pattern_misfit=None if misfit is None else gather_positions(comm, tile, misfit),
        )

    def _not_gathered(self, name: str) -> ValueError:
        return ValueError(
            f"{name}: {self.ranks.size} ranks hold a part each (result.part); "
            "result.gather(), called on every rank, gives the whole"
        )

    @property
    def object(self) -> NDArray[Any]:
        """Raise ValueError: the whole object is there after `gather`."""
        raise self._not_gathered("object")

    @property
    def elements(self) -> NDArray[Any]:
        """Raise ValueError: the whole maps are there after `gather`."""
        raise self._not_gathered("elements")

    @property
    def probe(self) -> NDArray[Any]:
        """The probe."""
        return self.part.probe

    @property
    def history(self) -> list[IterationRecord]:
        """The start, then one record per outer iteration."""
        return self.part.history

    @property
    def reason(self) -> Reason:
        """Why the solver stopped."""
        return self.part.reason

    @property
    def method(self) -> str:
        """Which data were reconstructed."""
        return self.part.method

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that was set, and what was derived from it."""
        return self.part.settings

    @property
    def loss(self) -> float:
        """Loss at the end."""
        return self.part.loss

    def __repr__(self) -> str:
        rows, columns = self.tile.grid
        return (
            f"<TiledResult: {self.method}, object {rows} x {columns} on {self.ranks.size} ranks, "
            f"{self.history[-1].iteration} iterations, loss {self.loss:.6g}: {self.reason.value}>"
        )


def loss_text(result: Result | TiledResult) -> str:
    """Return the loss of a result, and its ratio to the mean count, which does not depend on the exposure.

    Parameters
    ----------
    result : Result or TiledResult
        With "mean_count" in its settings if there are patterns.
    """
    mean = result.settings.get("mean_count")
    if result.method == "fluorescence" or not mean:
        return f"loss {result.loss:.6g}"
    return f"loss {result.loss:.6g} ({result.loss / mean:.5g} mean counts)"
