"""What a reconstruction returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.deviations import Deviations
from ptyxrf.driver.data.history import History, IterationRecord, Reason
from ptyxrf.driver.data.quality import Quality
from ptyxrf.driver.data.refined_sensitivity import RefinedSensitivity
from ptyxrf.parallel.gather import gather_positions, gather_tiles
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import Tile


class NotGathered(AttributeError):
    """Arrays of the whole object were asked of a result of which each rank holds a part."""


class Result:
    """The reconstructed object, element maps and probe, with history and settings.

    Where several ranks share the work, each has a part of the arrays: ``part`` gives the rank's own, `gather`
    the whole. Until then `object`, `elements`, `matrix`, `predicted_fluorescence` and `pattern_misfit`
    raise `NotGathered`; everything else is the same on every rank.

    Parameters
    ----------
    object : (n_rows, n_cols) array of complex
        z = x + i y.
    elements : (N_e, n_rows, n_cols) array of float
        w_e; N_e = 0 for ptychography alone.
    probe : (K, m, m) array of complex
        Refined, or as given.
    history : sequence of IterationRecord
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
    quality : Quality, optional
        How the misfit of the patterns compares with their noise; the same on every rank. None for the method
        "fluorescence", and for results of earlier versions.
    shared : (Tile, Ranks), optional
        The pixels and positions of this rank's part, and the ranks that share the result. None: the arrays
        are whole.
    positions : (N, 2) array of float64, optional
        (row, column) of each scan position in pixels, where positions were refined.
    intensities : (N,) array of float64, optional
        Intensity of the beam at each position, relative like the exposure, where intensities were refined.
    pattern_background : (m, m) array of float64, optional
        Background of the patterns in counts, in detector order, where it was refined.
    matrix : (n_rows, n_cols) array of float, optional
        Areal density of the material without fluorescence, where the link has one.
    sensitivity : RefinedSensitivity, optional
        The sensitivities to which the maps belong, where these were refined.
    uncertainty : Deviations, optional
        Standard deviations, where they were asked for; whole arrays.
    fallback : Result, optional
        What came before a joint fit, where it was asked for: the object, probe, positions and so on of
        ptychography alone, with its history, reason and quality, and the maps of the fluorescence alone with
        that probe. It has the parts of this rank where this result has.
    """

    def __init__(
        self,
        object: NDArray[Any],
        elements: NDArray[Any],
        probe: NDArray[Any],
        history: Iterable[IterationRecord],
        reason: Reason,
        method: str,
        settings: dict[str, Any] | None = None,
        predicted_fluorescence: NDArray[np.float64] | None = None,
        pattern_misfit: NDArray[np.float64] | None = None,
        quality: Quality | None = None,
        shared: tuple[Tile, Ranks] | None = None,
        positions: NDArray[np.float64] | None = None,
        intensities: NDArray[np.float64] | None = None,
        pattern_background: NDArray[np.float64] | None = None,
        matrix: NDArray[Any] | None = None,
        fallback: Result | None = None,
        sensitivity: RefinedSensitivity | None = None,
        uncertainty: Deviations | None = None,
    ) -> None:
        self.positions, self.intensities = positions, intensities
        self.pattern_background, self.fallback = pattern_background, fallback
        self._object, self._elements, self.probe = object, elements, probe
        self._predicted, self._misfit, self._matrix = predicted_fluorescence, pattern_misfit, matrix
        self.history, self.reason, self.method = History(history), reason, method
        self.settings: dict[str, Any] = {} if settings is None else settings
        self.quality, self.shared, self.sensitivity = quality, shared, sensitivity
        self.uncertainty = uncertainty

    @property
    def is_whole(self) -> bool:
        """Whether the arrays are those of all ranks."""
        return self.shared is None

    @property
    def part(self) -> Result:
        """The rank's own arrays as a result; the result itself where it is whole."""
        if self.is_whole:
            return self
        return self.replaced(shared=None, fallback=None if self.fallback is None else self.fallback.part)

    def replaced(self, **changes: Any) -> Result:
        """Return the result with some parameters exchanged; arrays are this rank's."""
        own: dict[str, Any] = {
            "object": self._object,
            "elements": self._elements,
            "probe": self.probe,
            "history": self.history,
            "reason": self.reason,
            "method": self.method,
            "settings": self.settings,
            "predicted_fluorescence": self._predicted,
            "pattern_misfit": self._misfit,
            "quality": self.quality,
            "shared": self.shared,
            "positions": self.positions,
            "intensities": self.intensities,
            "pattern_background": self.pattern_background,
            "matrix": self._matrix,
            "fallback": self.fallback,
            "sensitivity": self.sensitivity,
            "uncertainty": self.uncertainty,
        }
        return Result(**(own | changes))

    def gather(self) -> Result:
        """Return the result with global arrays on every rank; all ranks take part.

        Each rank then holds the whole object: `ptyxrf.write_result` does not need it.
        """
        if self.shared is None:
            return self
        tile, ranks = self.shared
        predicted, misfit, matrix = self._predicted, self._misfit, self._matrix
        if predicted is not None:
            predicted = (gather_tiles if predicted.ndim == 3 else gather_positions)(
                ranks.comm, tile, predicted
            )
        return self.replaced(
            shared=None,
            fallback=None if self.fallback is None else self.fallback.gather(),
            object=gather_tiles(ranks.comm, tile, self._object[None])[0],
            elements=gather_tiles(ranks.comm, tile, self._elements),
            predicted_fluorescence=predicted,
            pattern_misfit=None if misfit is None else gather_positions(ranks.comm, tile, misfit),
            matrix=None if matrix is None else gather_tiles(ranks.comm, tile, matrix[None])[0],
        )

    def _whole(self, name: str, values: Any) -> Any:
        if self.shared is not None:
            _, ranks = self.shared
            raise NotGathered(
                f"{name}: {ranks.size} ranks hold a part each (result.part); "
                "result.gather(), called on every rank, gives the whole"
            )
        return values

    @property
    def object(self) -> NDArray[Any]:
        """The object z."""
        return self._whole("object", self._object)

    @property
    def elements(self) -> NDArray[Any]:
        """The element maps w_e."""
        return self._whole("elements", self._elements)

    @property
    def matrix(self) -> NDArray[Any] | None:
        """The map of the material without fluorescence."""
        return self._whole("matrix", self._matrix)

    @property
    def predicted_fluorescence(self) -> NDArray[np.float64] | None:
        """The fluorescence that the maps explain, A_e w_e + B_e."""
        return self._whole("predicted_fluorescence", self._predicted)

    @property
    def pattern_misfit(self) -> NDArray[np.float64] | None:
        """The loss of each pattern."""
        return self._whole("pattern_misfit", self._misfit)

    @property
    def loss(self) -> float:
        """Loss at the end."""
        return self.history[-1].loss

    @property
    def ending(self) -> str:
        """Why the solver stopped, how good the fit is, and what it says of its link."""
        words = [] if self.quality is None else [self.quality.verdict, self.quality.link]
        return " ".join([self.reason.value, *filter(None, words)])

    @property
    def trusted(self) -> Result:
        """The fallback where the joint fit is the worse one by its quality; otherwise the result itself."""
        wrong = self.quality is not None and self.quality.link_good is False
        return self.fallback if wrong and self.fallback is not None else self

    def __repr__(self) -> str:
        (rows, columns), where = self._object.shape, ""
        if self.shared is not None:
            tile, ranks = self.shared
            (rows, columns), where = tile.grid, f" on {ranks.size} ranks"
        return (
            f"<Result: {self.method}, object {rows} x {columns}{where}, {len(self._elements)} elements, "
            f"{self.history[-1].iteration} iterations, loss {self.loss:.6g}: {self.ending}>"
        )


def loss_text(result: Result) -> str:
    """Return the loss of a result, and its ratio to the mean count, which does not depend on the exposure.

    Parameters
    ----------
    result : Result
        With "mean_count" in its settings if there are patterns.
    """
    mean = result.settings.get("mean_count")
    if result.method == "fluorescence" or not mean:
        return f"loss {result.loss:.6g}"
    return f"loss {result.loss:.6g} ({result.loss / mean:.5g} mean counts)"
