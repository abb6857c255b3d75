"""A scan: the data of both modalities, the probe, and its positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import one_of, per_item, real_array, scales_of
from ptyxrf.driver.data.data_checks import (
    check_patterns,
    check_probe,
    check_truth,
    mask_of,
    measured_elements,
    names_of_elements,
    numbers_of_elements,
    pattern_background_of,
    read_only,
    true_arrays,
    variance_of,
)
from ptyxrf.driver.data.frame_selection import arguments_of_frames, frame_numbers, single_values
from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.lazy_arrays import ArraySource, blocks_of_rows, is_lazy, numpy_source
from ptyxrf.driver.data.probe_guess import probe_in_focus
from ptyxrf.driver.data.text import plain
from ptyxrf.driver.data.window_places import placed_windows
from ptyxrf.driver.data.words import BLURS

#: Sums of |P|^2 whose squares are representable.
LEAST_INTENSITY, MOST_INTENSITY = 1e-120, 1e120


class Scan:
    """Diffraction patterns and fluorescence of one scan, with the probe and the positions.

    Parameters
    ----------
    patterns : (N, m, m) array or lazy source of real numbers
        Diffraction intensities, the zero frequency at index m//2. A lazy source has ``shape``, ``dtype`` and
        slicing, as an h5py dataset has.
    positions : (N, 2) array of float
        (row, column) of the probe window's first pixel on the object grid, in pixels. Fractions are
        kept: the probe is Fourier-shifted by them.
    probe : (K, m, m) or (m, m) array of complex, optional
        Probe modes, in the unit whose squared modulus is that of `patterns` (unitary DFT). Without one the
        scan has that of the mean pattern in focus, and a reconstruction begins with a search for the defocus.
    probe_found : bool
        Whether the probe comes from a search, as that of `prepare`: it is refined unless that is forbidden.
    shape : (int, int), optional
        (n_rows, n_cols) of the object grid; default: what the positions cover.
    fluorescence : (N_e, n_rows, n_cols) or (N_e, N) array or lazy source of float, optional
        Counts per element: on the object grid (``grid`` sampling) or one per position (``scan``).
        NaN is a lost count, which has no weight. An element whose values are all NaN has no data; it still
        enters the object.
    attenuation : (N_e,) array of float, optional
        mu_e of the linear link y = link_offset + sum_e mu_e w_e; default 1 for each element. With
        `phase_shift`, the a_e of the refractive link in m^2/kg: k beta / rho, half the mass attenuation
        coefficient.
    phase_shift : (N_e,) array of float, optional
        p_e of the refractive link z = exp(-sum_e (a_e + i p_e) w_e + ...), in m^2/kg: k delta / rho. See
        `optical_constants`.
    element_names : sequence of str, optional
        Default: "element 1", "element 2", ...
    mask : (m, m) array, or (N, m, m) array or lazy source of bool, optional
        True = good, in detector order like the patterns.
    exposure : (N,) array of float, optional
        Ion chamber times live time of the patterns at each position, relative (mean 1); default 1.
    fluorescence_exposure : (N,) array of float, optional
        Ion chamber times live time of the fluorescence detector, for counts at the positions; default:
        `exposure`.
    pattern_background : float or (m, m) array of float, optional
        Counts of each pattern that do not come from the beam (dark counts, stray light), in detector order
        and whatever the exposure; default none.
    sensitivity : float or (N_e,) array of float, optional
        Counts per incident photon and unit of w; default 1.
    sensitivity_error : float or (N_e,) array of float, optional
        Standard error of the sensitivity, in its unit, as `calibrate` finds it; where the sensitivity is
        refined, it is unknown by that much (default: by 30 %).
    background : float or (N_e,) array of float, optional
        Counts that do not come from the specimen, per sample of each map; default 0.
    count_scale : float or (N,) array of float, optional
        eta: the value that one photon adds to a pattern (1 for raw counts, 0 for noiseless data).
    fluorescence_count_scale : float or (N_e,) array of float, optional
        The same for the maps; default: `count_scale`, where that is one number.
    fluorescence_variance : array of float, optional
        Variance of each value of the fluorescence, in its shape, for areas of fitted peaks: instead of that
        of counts. NaN where the value is to have no weight.
    blur : {"convolution", "correlation"}
        How the probe blurred grid maps; a map that was scanned and interpolated is a correlation.
    geometry : Geometry, optional
        Photon energy, distance and detector pixel, for lengths in metres.
    units : str
        Unit of the fluorescence values, for labels.
    truth : mapping, optional
        What a simulation knows: arrays (or lazy sources) "object", "elements" and "probe", any of them.
    title : str
        A line about the scan.

    Attributes
    ----------
    N, m, K, N_e : int
        Positions, pattern size, probe modes, elements.
    probe_known : bool
        Whether a probe was given.
    corners : (N, 2) array of int64
        Integer part of each position: the corner of its patch.
    fractions : (N, 2) array of float64
        Position minus corner, in [0, 1).
    given_attenuation : (N_e,) array of float64 or None
        The `attenuation`, where it was given.
    sampling : {"grid", "scan", None}
        How the fluorescence was sampled.

    Raises
    ------
    ValueError
        Naming the argument, what was expected and what came.

    Notes
    -----
    Lazy arrays are checked when they are read: by each rank of a reconstruction, or by `check`.
    """

    def __init__(
        self,
        patterns: ArrayLike | ArraySource,
        positions: ArrayLike,
        probe: ArrayLike | None = None,
        *,
        probe_found: bool = False,
        shape: tuple[int, int] | None = None,
        fluorescence: ArrayLike | ArraySource | None = None,
        attenuation: ArrayLike | None = None,
        phase_shift: ArrayLike | None = None,
        element_names: Sequence[str] | None = None,
        mask: ArrayLike | ArraySource | None = None,
        exposure: ArrayLike | None = None,
        fluorescence_exposure: ArrayLike | None = None,
        pattern_background: ArrayLike | None = None,
        sensitivity: ArrayLike | None = None,
        sensitivity_error: ArrayLike | None = None,
        background: ArrayLike | None = None,
        count_scale: ArrayLike | None = None,
        fluorescence_count_scale: ArrayLike | None = None,
        fluorescence_variance: ArrayLike | None = None,
        blur: str = "convolution",
        geometry: Geometry | None = None,
        units: str = "counts",
        truth: Mapping[str, NDArray] | None = None,
        title: str = "",
    ) -> None:
        self._set_patterns(patterns)
        self.mask: Any = None if mask is None else mask_of(mask, self.N, self.m)
        self.probe_known, self.probe_found = probe is not None, probe is not None and bool(probe_found)
        self._set_probe(probe_in_focus(self.patterns, self.mask) if probe is None else probe)
        self._set_positions(positions, shape)
        self.pattern_background = pattern_background_of(pattern_background, self.m)
        if isinstance(self.patterns, np.ndarray):
            check_patterns(
                self.patterns, np.arange(self.N), None if self.mask is None else np.asarray(self.mask)
            )
        self._set_fluorescence(fluorescence, fluorescence_variance)
        self._set_elements(attenuation, phase_shift, element_names)
        if fluorescence_count_scale is None and np.ndim(0.5 if count_scale is None else count_scale) == 0:
            fluorescence_count_scale = count_scale
        each, element = (self.N, "position"), (self.N_e, "element")
        self.exposure = per_item("exposure", 1.0 if exposure is None else exposure, *each)
        self.fluorescence_exposure = per_item(
            "fluorescence_exposure",
            self.exposure if fluorescence_exposure is None else fluorescence_exposure,
            *each,
        )
        self._set_calibration(sensitivity, sensitivity_error, background)
        self.count_scale = scales_of("count_scale", count_scale, *each)
        self.fluorescence_count_scale = scales_of(
            "fluorescence_count_scale", fluorescence_count_scale, *element
        )
        self.blur = one_of("blur", blur, BLURS)
        self.geometry, self.units, self.title = geometry, plain(units), plain(title)
        expected = {"object": self.shape, "elements": (self.N_e, *self.shape), "probe": self.probe.shape}
        self.truth: dict[str, NDArray] = true_arrays(truth, expected)
        for name in ("positions", "corners", "fractions", "probe", "exposure", "attenuation"):
            setattr(self, name, read_only(getattr(self, name)))

    def _set_patterns(self, patterns: Any) -> None:
        if is_lazy(patterns):
            self.patterns: Any = numpy_source(patterns)
        else:
            there = isinstance(patterns, np.ndarray)
            self.patterns = patterns if there else real_array("patterns", patterns)
        shape = tuple(int(size) for size in self.patterns.shape)
        if len(shape) != 3:
            raise ValueError(f"patterns: expected shape (N, m, m), got {shape}")
        if self.patterns.dtype.kind not in "fiub":
            raise ValueError(f"patterns: expected real intensities, got dtype {self.patterns.dtype}")
        self.N, self.m, columns = shape
        if self.m != columns:
            raise ValueError(f"patterns: expected square patterns (N, m, m), got {shape}")
        if self.N == 0 or self.m == 0:
            raise ValueError(f"patterns: expected at least one pattern, got shape {shape}")

    def _set_probe(self, probe: ArrayLike) -> None:
        array = np.array(probe)
        if array.ndim == 2:
            array = array[None]
        if array.ndim != 3 or array.shape[1:] != (self.m, self.m) or array.shape[0] == 0:
            raise ValueError(
                f"probe: expected shape (K, {self.m}, {self.m}) as the patterns have, got {np.shape(probe)}"
            )
        if array.dtype.kind not in "fiuc":
            raise ValueError(f"probe: expected complex numbers, got dtype {array.dtype}")
        if array.dtype not in (np.complex64, np.complex128):
            array = array.astype(np.complex128)
        check_probe("probe", array)
        with np.errstate(over="ignore", under="ignore"):
            intensity = float(np.sum(np.abs(array.astype(np.complex128)) ** 2))
        if not LEAST_INTENSITY < intensity < MOST_INTENSITY:
            raise ValueError(
                f"probe: expected a sum of |P|^2 between {LEAST_INTENSITY:g} and {MOST_INTENSITY:g}, got "
                f"{intensity:g}"
            )
        self.probe: NDArray[Any] = np.ascontiguousarray(array)
        self.K = int(array.shape[0])

    def _set_positions(self, positions: ArrayLike, shape: tuple[int, int] | None) -> None:
        self.positions, snapped, self.shape = placed_windows(positions, self.N, self.m, shape)
        corners = np.floor(snapped)
        self.corners = corners.astype(np.int64)
        self.fractions = snapped - corners

    def _set_fluorescence(
        self, fluorescence: ArrayLike | ArraySource | None, variance: ArrayLike | None
    ) -> None:
        self.fluorescence: Any = None
        self.sampling: str | None = None
        self.N_e = 0
        self._measured: NDArray[np.bool_] | None = np.zeros(0, bool)
        if fluorescence is not None:
            maps: Any = fluorescence
            maps = numpy_source(maps) if is_lazy(maps) else real_array("fluorescence", maps)
            if maps.dtype.kind not in "fiu":
                raise ValueError(f"fluorescence: expected real numbers, got {maps.dtype}")
            shape = tuple(maps.shape)
            if len(shape) == 3 and shape[1:] == self.shape and shape[0] > 0:
                self.sampling = "grid"
            elif len(shape) == 2 and shape[1] == self.N and shape[0] > 0:
                self.sampling = "scan"
            else:
                raise ValueError(
                    f"fluorescence: expected shape (N_e, {self.shape[0]}, {self.shape[1]}) on the object "
                    f"grid or (N_e, {self.N}) at the positions, got {shape}"
                )
            self.fluorescence = maps
            self.N_e = int(shape[0])
            self._measured = None if is_lazy(maps) else self._find_measured()
        self.fluorescence_variance = variance_of(variance, None if fluorescence is None else shape)

    def _set_elements(self, attenuation: Any, phase_shift: Any, element_names: Any) -> None:
        given = {"attenuation": attenuation, "phase_shift": phase_shift, "element_names": element_names}
        named = [name for name, value in given.items() if value is not None]
        if self.fluorescence is None and named:
            raise ValueError(
                f"{named[0]}: expected none without fluorescence, got {named[0]} for a scan that has no maps"
            )
        self.given_attenuation = numbers_of_elements("attenuation", attenuation, self.N_e)
        self.phase_shift = numbers_of_elements("phase_shift", phase_shift, self.N_e)
        if phase_shift is not None and attenuation is None:
            raise ValueError("phase_shift: expected attenuation beside it, in m^2/kg both, got it alone")
        self.attenuation = np.ones(self.N_e) if self.given_attenuation is None else self.given_attenuation
        self.element_names = names_of_elements(element_names, self.N_e)

    def _set_calibration(self, sensitivity: Any, error: Any, background: Any) -> None:
        element = self.N_e, "element"
        self.sensitivity = per_item("sensitivity", 1.0 if sensitivity is None else sensitivity, *element)
        self.sensitivity_error = None if error is None else per_item("sensitivity_error", error, *element)
        self.background = per_item(
            "background", 0.0 if background is None else background, *element, zero=True
        )

    def _find_measured(self) -> NDArray[np.bool_]:
        """Return which elements have data; infinite values are refused."""
        missing, infinite = np.zeros((2, self.N_e), np.int64)
        for index in blocks_of_rows(self.fluorescence.shape):
            block = np.asarray(self.fluorescence[index], dtype=np.float64)
            # a block of (N_e, N) counts at the positions has several elements
            which, axis = (index[0], None) if block.ndim == 2 and self.sampling == "grid" else (index[-1], 1)
            missing[which] += np.isnan(block).sum(axis=axis)
            infinite[which] += np.isinf(block).sum(axis=axis)

        def first_bad(e: int) -> int:
            return int(np.flatnonzero(np.isinf(np.asarray(self.fluorescence[e], np.float64)))[0])

        return measured_elements(missing, infinite, self.fluorescence.shape, first_bad)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(N_e,) array: which elements have fluorescence data; lazy maps are read for it once."""
        if self._measured is None:
            self._measured = self._find_measured()
        return self._measured

    def check(self) -> None:
        """Read lazy maps, masks and true arrays once, block by block, and refuse what is damaged or wrong.

        Raises
        ------
        ValueError
            Naming the argument, or the file and the dataset.
        """
        _ = self.measured
        if is_lazy(self.mask):
            blocks = (np.asarray(self.mask[index]) for index in blocks_of_rows(self.mask.shape))
            if not sum(int(block.sum()) for block in blocks):
                raise ValueError("mask: expected some good pixels (True), got none")
        for name, array in self.truth.items():
            for index in blocks_of_rows(array.shape) if is_lazy(array) else ():
                check_truth(name, np.asarray(array[index]))

    def mask_at(self, chosen: Any) -> NDArray[np.bool_] | None:
        """Return the mask of some patterns (a slice or indices): (m, m) where all share one, or None."""
        return self.mask if self.mask is None or self.mask.ndim == 2 else self.mask[chosen]

    @property
    def pixel_size(self) -> float | None:
        """Pixel of the object grid in metres, or None where the geometry is not known."""
        return None if self.geometry is None else self.geometry.pixel_size(self.m)

    def replace(self, **changes: Any) -> Scan:
        """Return a scan with other values for some of the constructor's arguments.

        Parameters
        ----------
        **changes
            Arguments of `Scan`. With maps of another number of elements, what belongs to the elements
            (optical constants, names, sensitivity, background, count scale, true maps) goes back to its
            default unless it is given too.

        Returns
        -------
        Scan
            Checked like any other; the patterns are shared, not copied.

        Raises
        ------
        ValueError
            If a value does not fit.
        TypeError
            If there is no such argument.
        """
        per_element = "phase_shift element_names sensitivity sensitivity_error background".split()
        per_element += ["fluorescence_count_scale", "fluorescence_variance"]
        others = "shape fluorescence mask exposure pattern_background count_scale blur geometry".split()
        others += "units title truth".split()
        if not np.array_equal(self.exposure, self.fluorescence_exposure):  # the default follows the exposure
            others.append("fluorescence_exposure")
        arguments: dict[str, Any] = {
            name: getattr(self, name) for name in ("patterns", "positions", "probe", *others)
        }
        arguments["probe_found"] = self.probe_found and "probe" not in changes
        if not self.probe_known:
            arguments["probe"] = None
        patterns = changes.get("patterns")
        if patterns is not None and np.shape(patterns)[:1] != (self.N,):
            arguments |= single_values(self)
        arguments.update(changes)
        maps = arguments["fluorescence"]
        count = 0 if maps is None else maps.shape[0] if is_lazy(maps) else len(maps)
        if maps is not None and count == self.N_e:
            arguments = {name: getattr(self, name) for name in per_element} | arguments
            arguments.setdefault("attenuation", self.given_attenuation)
        elif "truth" not in changes and count != self.N_e:
            arguments["truth"] = {name: array for name, array in self.truth.items() if name != "elements"}
        return Scan(**arguments)

    def select(self, frames: str | slice | ArrayLike) -> Scan:
        """Return a scan of some of the frames, on the same object grid.

        Parameters
        ----------
        frames : str, slice, sequence of int, or (N,) sequence of bool
            As `frame_numbers` takes them: "0:400:2", for one. Lazy patterns stay lazy.

        Raises
        ------
        ValueError
            Naming what was expected.
        """
        return self.replace(**arguments_of_frames(self, frame_numbers(frames, self.N)))

    def __repr__(self) -> str:
        maps = "no fluorescence" if self.sampling is None else f"{self.N_e} elements ({self.sampling})"
        return (
            f"<Scan: {self.N} patterns of {self.m} x {self.m}, object {self.shape[0]} x {self.shape[1]}, "
            f"{self.K} probe mode(s), {maps}>"
        )
