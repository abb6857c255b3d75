"""The terms of the objective on one rank, in internal units, and the probe that they share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.files.wisdom_file import prepare_plans
from ptyxrf.driver.objective.internal_units import InternalUnits
from ptyxrf.driver.objective.local_data import LocalData, MeanPattern
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.fluorescence import Fluorescence
from ptyxrf.kernels.fluorescence_grid import GridFluorescence, padded, plan_blur
from ptyxrf.kernels.fluorescence_scan import ScanFluorescence
from ptyxrf.kernels.implementation import diffraction_term, positioned_probe
from ptyxrf.kernels.map_prior import MapPrior
from ptyxrf.kernels.words import PATTERN_LOSSES


class Terms:
    """Patterns and fluorescence of a rank as sums of squares.

    Parameters
    ----------
    data : LocalData
    units : InternalUnits
    real : float32 or float64
    curvature : {"full", "gauss-newton", "positive"}
    engine : {"vector", "library"}
    keep_far_fields : bool
        Keep far fields for Hessian products.
    keep_probes : bool
        Keep the probe of each position; better not where it moves, as it is then used once.
    moving : bool
        Whether positions or intensities may change.
    expand_probes : bool
        See `positioned_probe`.
    loss, background : str
        See `Diffraction`.

    Attributes
    ----------
    bent : bool
        Whether products have the second derivatives of everything: the curvature is "full".
    moving : bool
        Whether positions or intensities may change.
    positioned : PositionedProbe
        The probe at each position.
    diffraction : Diffraction or None
    fluorescence : Fluorescence or None
    prior : MapPrior or None
        None without fluorescence.
    probe : (K, m, m) array or None
        The probe that was set last, in the units of the data.
    mean_pattern : MeanPattern or None
        None unless the background is refined, or the loss is that of Poisson counts.
    alpha : (N_e,) array of float64
        Weights of the fluorescence, in the units of the data.
    start : (n, 2) array of float64
        The rank's positions as the scan has them, on the covered pixels.
    moves : (n, 3) array of float64
        From there to where the probe stands, and the logarithm of its amplitude there.
    corners : (n, 2) array of int64
        Of the patches, which follow the positions; the terms hold this array.
    """

    def __init__(
        self,
        data: LocalData,
        units: InternalUnits,
        real: np.dtype[Any],
        curvature: str,
        engine: str,
        keep_far_fields: bool,
        keep_probes: bool,
        moving: bool = False,
        expand_probes: bool = False,
        loss: str = PATTERN_LOSSES[0],
        background: str = "none",
    ) -> None:
        self.data, self.moving, self._units = data, moving, units
        self.bent = curvature == "full"
        self.probe: NDArray[Any] | None = None
        self.alpha = np.ones(data.scan.N_e)
        self.mean_pattern: MeanPattern | None = None
        self.corners = data.corners.copy()
        self.moves = np.zeros((len(data.corners), 3))
        self._real, self._complex = real, np.result_type(real, np.complex64)
        scan, tile = data.scan, data.tile
        fractions = scan.fractions[tile.positions]
        self.start = data.corners + fractions
        self.positioned = positioned_probe(
            fractions,
            scan.K,
            scan.m,
            self._complex,
            engine,
            keep=keep_probes,
            moving=moving,
            expand=expand_probes,
        )
        self._plan_patterns(data, engine)
        self.diffraction: Diffraction | None = None
        if data.patterns is not None:
            self.diffraction = diffraction_term(
                data.patterns.amplitudes,
                self.corners,
                data.exposure,
                self.positioned,
                curvature,
                keep_far_fields,
                engine,
                loss,
                background,
            )
        self.fluorescence: Fluorescence | None = None
        self.prior: MapPrior | None = None
        if data.counts is not None:
            self.fluorescence = self._fluorescence(data, self.bent)
            inner = tile.owned.within(tile.covered)
            window = (inner.row_start, inner.column_start, *inner.shape)
            self.prior = MapPrior(window, scan.N_e, real)

    def _plan_patterns(self, data: LocalData, engine: str) -> None:
        """Plan the library's transforms; vector code needs none, nor does fluorescence at whole pixels."""
        scan, ranks = data.scan, data.ranks
        needed = engine == "library" and (data.patterns is not None or not self.positioned.integer)
        fourier = PatternFourier(scan.K, scan.m, self._complex)
        prepare_plans(
            ranks.comm,
            "patterns" if needed else None,
            lambda search: fourier.plan(-(-scan.N // ranks.size) if search else None),
        )

    def _fluorescence(self, data: LocalData, full: bool) -> Fluorescence:
        scan, tile, counts, units = data.scan, data.tile, data.counts, self._units
        assert counts is not None and data.net is not None
        gains = units.gains(scan.sensitivity)
        values = units.counts(data.net, self._real)
        weights = units.weights(np.where(counts.measured, 1.0, 0.0))
        if scan.sampling == "scan":
            return ScanFluorescence(
                values, gains, weights, self.positioned, full, self.corners,
                scan.fluorescence_exposure[tile.positions],
            )  # fmt: skip
        rows, columns = tile.inner
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        shape, active = tile.covered.shape, int(counts.measured.sum())
        prepare_plans(
            data.ranks.comm,
            padded(shape, scan.m),
            lambda search: plan_blur(shape, scan.m, self._real, active if search else None),
        )
        correlation = scan.blur == "correlation"
        return GridFluorescence(values, gains, weights, self.positioned, full, shape, window, correlation)

    def set_alpha(self, alpha: NDArray[np.float64], relative: NDArray[np.float64] | None = None) -> None:
        """Take weights in the units of the data, and those of the samples relative to them; None: 1."""
        self.alpha = alpha
        if self.fluorescence is not None:
            self.fluorescence.set_weights(self._units.weights(alpha), relative)

    def set_sensitivity(self, sensitivity: NDArray[np.float64]) -> None:
        """Take the counts (N_e,) per incident photon and unit of the maps."""
        if self.fluorescence is not None:
            self.fluorescence.gains = self._units.gains(sensitivity)

    def set_strengths(self, strengths: NDArray[np.float64]) -> None:
        """Take the strengths of the maps' prior, in the unit of the loss."""
        if self.prior is not None:
            self.prior.strengths = strengths / self._units.mean_count

    def set_beam(self, probe: NDArray, moves: NDArray[np.float64] | None = None) -> None:
        """Take the probe and where it stands; those present cost nothing (no new shifts).

        Parameters
        ----------
        probe : (K, m, m) array of complex
            In the units of the data.
        moves : (n, 3) array of float64, optional
            Of the rank's positions from those of the scan, in pixels, and the logarithm of the amplitude
            there; default: as they are.
        """
        if moves is not None and not np.array_equal(self.moves, moves):
            self.moves = moves.copy()
            self._place()
        elif self.probe is not None and np.array_equal(self.probe, probe):
            return
        self.probe = probe.copy()
        normalised = self._normalised(probe)
        self.positioned.set(normalised)
        if self.fluorescence is not None:
            self.fluorescence.set_probe(normalised)

    def place_corners(self, corners: NDArray[np.int64]) -> None:
        """Take other corners of the patches for the same positions."""
        self.corners[...] = corners
        self._place()
        if self.probe is not None:
            self.positioned.set(self._normalised(self.probe))

    def _place(self) -> None:
        fractions = self.start + self.moves[:, :2] - self.corners
        self.positioned.place(fractions, np.exp(self.moves[:, 2]))

    def set_direction(self, change: NDArray, moves: NDArray[np.float64] | None = None) -> None:
        """Take a (K, m, m) change of the probe in the units of the data, and of the moves (n, 3)."""
        normalised = self._normalised(change)
        self.positioned.set_direction(normalised, moves)
        if self.fluorescence is not None:
            self.fluorescence.set_direction(normalised)

    def set_known_background(self, background: NDArray) -> None:
        """Take the background of the patterns that is known (m, m), in the units of the data."""
        if self.diffraction is not None:
            self.diffraction.set_known_background(np.fft.ifftshift(background) / self._units.mean_count)

    def set_background(self, roots: NDArray) -> None:
        """Take the root of the rest of that background (m, m), in the units of the data."""
        if self.diffraction is not None:
            self.diffraction.set_background(np.fft.ifftshift(roots) / self._units.amplitude)

    def set_background_direction(self, change: NDArray) -> None:
        """Take a change of that root (m, m)."""
        if self.diffraction is not None:
            self.diffraction.set_background_direction(np.fft.ifftshift(change) / self._units.amplitude)

    def known_background(self) -> NDArray[np.float64]:
        """Return the background that is known (m, m), in the units of the data."""
        assert self.diffraction is not None
        return np.fft.fftshift(self.diffraction.known) * self._units.mean_count

    def background(self) -> NDArray[np.float64]:
        """Return the background that was set last (m, m), in the units of the data."""
        assert self.diffraction is not None
        background = self.diffraction.beta.astype(np.float64) ** 2 + self.diffraction.known
        return np.fft.fftshift(background) * self._units.mean_count

    def background_sum(self) -> NDArray[np.float64]:
        """Return what the last pass has added in the root of the background (m, m), in internal units."""
        assert self.diffraction is not None
        return np.fft.fftshift(self.diffraction.background_sum())

    def _normalised(self, probe: NDArray) -> NDArray[Any]:
        return (probe / self._units.amplitude).astype(self._complex)
