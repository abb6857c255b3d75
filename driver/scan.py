"""A scan: the data of both modalities, the probe that recorded them, and where it stood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.checks import real_array
from ptyxrf.driver.geometry import Geometry

#: Positions closer than this (pixels) to an integer are that integer: it is the rounding error of a
#: coordinate that was written in metres and read back, far below any measurable shift.
POSITION_ROUNDING = 1e-9

BLURS = ("convolution", "correlation")


class PatternSource(Protocol):
    """Patterns that are read when they are needed: an h5py dataset, or anything that slices like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype: ...  # noqa: D102
    def __getitem__(self, key: Any) -> Any: ...


def _floats(name: str, value: ArrayLike, ndim: int) -> NDArray[np.float64]:
    array = real_array(name, value)
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimension(s), got shape {array.shape}")
    return array


def _per_item(
    name: str, value: ArrayLike, count: int, what: str, *, zero: bool = False
) -> NDArray[np.float64]:
    """Return `count` finite positive (or, with `zero`, non-negative) numbers from one number or `count`."""
    array = real_array(name, value)
    if array.shape not in ((), (count,)):
        raise ValueError(
            f"{name}: expected a number or {count} of them (one per {what}), got shape {array.shape}"
        )
    array = np.broadcast_to(array, (count,)).copy()
    good = np.isfinite(array) & ((array >= 0) if zero else (array > 0))
    if not good.all():
        kind = "non-negative" if zero else "positive"
        where = int(np.flatnonzero(~good)[0])
        raise ValueError(f"{name}: expected finite {kind} numbers, got {array[where]} for {what} {where}")
    return array


def check_patterns(block: NDArray, first: int, mask: NDArray[np.bool_] | None) -> None:
    """Refuse patterns that hold NaN, infinities or negative counts outside the mask.

    Parameters
    ----------
    block : (B, m, m) array of real numbers
        Patterns `first` to `first + B - 1` of the scan.
    first : int
        Index of the first of them, for the message.
    mask : (m, m) or (B, m, m) array of bool, optional
        True = good.

    Raises
    ------
    ValueError
        Naming the first bad pattern and pixel.
    """
    bad = ~((block >= 0) & (block < np.inf))  # NaN compares false
    if mask is not None:
        bad &= mask
    if bad.any():
        j, row, column = (int(i) for i in np.argwhere(bad)[0])
        value = block[j, row, column]
        raise ValueError(
            f"patterns: expected finite non-negative intensities outside the mask, got {value} "
            f"in pattern {first + j} at pixel ({row}, {column})"
        )


class Scan:
    """Diffraction patterns and fluorescence of one scan, with the probe and the positions.

    Parameters
    ----------
    patterns : (N, m, m) array or lazy source of real numbers
        Diffraction intensities in detector order: the zero frequency at index m//2. Anything with
        ``shape``, ``dtype`` and slicing serves (an h5py dataset is read only when it is needed).
    positions : (N, 2) array of float
        (row, column) of the probe window's first pixel on the object grid, in pixels. Fractions are
        kept: the probe is Fourier-shifted by them.
    probe : (K, m, m) or (m, m) array of complex
        Probe modes, in the unit whose squared modulus is that of `patterns` (unitary DFT).
    shape : (int, int), optional
        (n_rows, n_cols) of the object grid; default: what the positions cover.
    fluorescence : (N_e, n_rows, n_cols) or (N_e, N) array of float, optional
        Counts per element: on the object grid (``grid`` sampling) or one per position (``scan``).
        An element whose values are all NaN has no data; it still enters the object.
    attenuation : (N_e,) array of float, optional
        mu_e of the link y = link_offset + sum_e mu_e w_e; default 1 for each element.
    element_names : sequence of str, optional
        Default: "element 1", "element 2", ...
    mask : (m, m) or (N, m, m) array of bool, optional
        True = good, in detector order like the patterns.
    exposure : (N,) array of float, optional
        Ion chamber times live time at each position, relative (mean 1); default 1.
    sensitivity : float or (N_e,) array of float, optional
        Counts per incident photon and unit of w; default 1.
    background : float or (N_e,) array of float, optional
        Counts that do not come from the specimen, per sample of each map; default 0.
    count_scale : float or (N,) array of float, optional
        eta: the value that one photon adds to a pattern (1 for raw counts, 0 for noiseless data).
    fluorescence_count_scale : float or (N_e,) array of float, optional
        The same for the maps; default: `count_scale`, where that is one number.
    blur : {"convolution", "correlation"}
        How grid maps were blurred by the probe: as a convolution, or as a map that was scanned and
        interpolated onto the grid (a correlation). Scan sampling does not use it.
    geometry : Geometry, optional
        Photon energy, distance and detector pixel, where lengths in metres are wanted.
    units : str
        Unit of the fluorescence values, for labels.
    truth : mapping, optional
        What a simulation knows: arrays "object", "elements" and "probe", any of them.
    title : str
        A line about the scan.

    Attributes
    ----------
    N, m, K, N_e : int
        Positions, pattern size, probe modes, elements.
    corners : (N, 2) array of int64
        Integer part of each position: the corner of its patch.
    fractions : (N, 2) array of float64
        Position minus corner, in [0, 1).
    sampling : {"grid", "scan", None}
        How the fluorescence was sampled.
    measured : (N_e,) array of bool
        Which elements have fluorescence data.

    Raises
    ------
    ValueError
        Naming the argument, what was expected and what came.
    """

    def __init__(
        self,
        patterns: ArrayLike | PatternSource,
        positions: ArrayLike,
        probe: ArrayLike,
        *,
        shape: tuple[int, int] | None = None,
        fluorescence: ArrayLike | None = None,
        attenuation: ArrayLike | None = None,
        element_names: Sequence[str] | None = None,
        mask: ArrayLike | None = None,
        exposure: ArrayLike | None = None,
        sensitivity: ArrayLike | None = None,
        background: ArrayLike | None = None,
        count_scale: ArrayLike | None = None,
        fluorescence_count_scale: ArrayLike | None = None,
        blur: str = "convolution",
        geometry: Geometry | None = None,
        units: str = "counts",
        truth: Mapping[str, NDArray] | None = None,
        title: str = "",
    ) -> None:
        if not (
            hasattr(patterns, "shape") and hasattr(patterns, "dtype") and hasattr(patterns, "__getitem__")
        ):
            patterns = real_array("patterns", patterns)
        self.patterns: Any = patterns
        if len(self.patterns.shape) != 3:
            raise ValueError(f"patterns: expected shape (N, m, m), got {tuple(self.patterns.shape)}")
        if self.patterns.dtype.kind not in "fiub":
            raise ValueError(f"patterns: expected real intensities, got dtype {self.patterns.dtype}")
        self.N, self.m, columns = (int(size) for size in self.patterns.shape)
        if self.m != columns:
            raise ValueError(
                f"patterns: expected square patterns (N, m, m), got {tuple(self.patterns.shape)}"
            )
        if self.N == 0 or self.m == 0:
            raise ValueError(
                f"patterns: expected at least one pattern, got shape {tuple(self.patterns.shape)}"
            )

        self._set_probe(probe)
        self._set_positions(positions, shape)
        self._set_mask(mask)
        if isinstance(self.patterns, np.ndarray):
            check_patterns(self.patterns, 0, self.mask)
        self.exposure = (
            np.ones(self.N) if exposure is None else _per_item("exposure", exposure, self.N, "position")
        )

        self._set_fluorescence(fluorescence, attenuation, element_names)
        self.sensitivity = _per_item(
            "sensitivity", 1.0 if sensitivity is None else sensitivity, self.N_e, "element"
        )
        self.background = _per_item(
            "background", 0.0 if background is None else background, self.N_e, "element", zero=True
        )
        self.count_scale = (
            None
            if count_scale is None
            else _per_item("count_scale", count_scale, self.N, "position", zero=True)
        )
        if fluorescence_count_scale is None and count_scale is not None and np.ndim(count_scale) == 0:
            fluorescence_count_scale = count_scale
        self.fluorescence_count_scale = (
            None
            if fluorescence_count_scale is None
            else _per_item(
                "fluorescence_count_scale", fluorescence_count_scale, self.N_e, "element", zero=True
            )
        )
        if blur not in BLURS:
            raise ValueError(f"blur: expected one of {', '.join(BLURS)}, got {blur!r}")
        self.blur = blur
        self.geometry = geometry
        self.units = units
        self.title = title
        self._set_truth(truth)

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
        if not np.isfinite(array).all():
            raise ValueError("probe: expected finite numbers, got NaN or infinity")
        if not array.any():
            raise ValueError("probe: expected a probe with some intensity, got zeros only")
        self.probe: NDArray[Any] = np.ascontiguousarray(array)
        self.K = int(array.shape[0])

    def _set_positions(self, positions: ArrayLike, shape: tuple[int, int] | None) -> None:
        array = _floats("positions", positions, 2)
        if array.shape != (self.N, 2):
            raise ValueError(
                f"positions: expected shape ({self.N}, 2), one (row, column) for each of the {self.N} "
                f"patterns, got {array.shape}"
            )
        if not np.isfinite(array).all():
            j = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(
                f"positions: expected finite pixels, got {tuple(array[j].tolist())} at position {j}"
            )
        nearest = np.round(array)
        snapped = np.where(np.abs(array - nearest) < POSITION_ROUNDING, nearest, array)
        corners = np.floor(snapped)
        if shape is None:
            extent = corners.max(axis=0) + self.m
            if extent.max() > 2**31:
                raise ValueError(
                    f"positions: expected pixels, got a scan that covers {extent.tolist()} pixels"
                )
            self.shape = (int(extent[0]), int(extent[1]))
        else:
            try:
                rows, columns = (int(size) for size in shape)
            except (TypeError, ValueError) as error:
                raise ValueError(f"shape: expected (n_rows, n_cols), got {shape!r}") from error
            if rows < 1 or columns < 1 or (rows, columns) != tuple(shape):
                raise ValueError(f"shape: expected two positive integers (n_rows, n_cols), got {shape!r}")
            self.shape = (rows, columns)
        outside = (corners < 0).any(axis=1) | (corners + self.m > self.shape).any(axis=1)
        if outside.any():
            j = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"positions: expected every {self.m} x {self.m} window inside the "
                f"{self.shape[0]} x {self.shape[1]} object grid, "
                f"got {tuple(array[j].tolist())} at position {j}"
            )
        self.positions = array
        self.corners = corners.astype(np.int64)
        self.fractions = snapped - corners

    def _set_mask(self, mask: ArrayLike | None) -> None:
        self.mask: NDArray[np.bool_] | None = None
        if mask is None:
            return
        array = np.asarray(mask)
        if array.shape not in ((self.m, self.m), (self.N, self.m, self.m)):
            raise ValueError(
                f"mask: expected shape ({self.m}, {self.m}) or ({self.N}, {self.m}, {self.m}), "
                f"got {array.shape}"
            )
        if array.dtype != np.bool_:
            if array.dtype.kind not in "iu" or not np.isin(array, (0, 1)).all():
                raise ValueError(f"mask: expected booleans (True = good), got dtype {array.dtype}")
            array = array.astype(bool)
        if not array.any():
            raise ValueError("mask: expected some good pixels (True), got none")
        self.mask = np.ascontiguousarray(array)

    def _set_fluorescence(
        self,
        fluorescence: ArrayLike | None,
        attenuation: ArrayLike | None,
        element_names: Sequence[str] | None,
    ) -> None:
        self.fluorescence: NDArray[np.float64] | None = None
        self.sampling: str | None = None
        self.N_e = 0
        if fluorescence is not None:
            maps = real_array("fluorescence", fluorescence)
            if maps.ndim == 3 and maps.shape[1:] == self.shape and maps.shape[0] > 0:
                self.sampling = "grid"
            elif maps.ndim == 2 and maps.shape[1] == self.N and maps.shape[0] > 0:
                self.sampling = "scan"
            else:
                raise ValueError(
                    f"fluorescence: expected shape (N_e, {self.shape[0]}, {self.shape[1]}) on the object "
                    f"grid or (N_e, {self.N}) at the positions, got {maps.shape}"
                )
            self.fluorescence = maps
            self.N_e = int(maps.shape[0])
        elif attenuation is not None or element_names is not None:
            named = "attenuation" if attenuation is not None else "element_names"
            raise ValueError(
                f"{named}: expected none without fluorescence, got {named} for a scan that has no maps"
            )
        flat = np.zeros((0, 1)) if self.fluorescence is None else self.fluorescence.reshape(self.N_e, -1)
        self.measured: NDArray[np.bool_] = np.array([not np.isnan(row).all() for row in flat], dtype=bool)
        for e in np.flatnonzero(self.measured):
            if not np.isfinite(flat[e]).all():
                raise ValueError(
                    f"fluorescence: expected finite counts (or NaN everywhere for an element without data), "
                    f"got {int((~np.isfinite(flat[e])).sum())} non-finite values for element {e}"
                )
        self.attenuation = np.ones(self.N_e)
        if attenuation is not None:
            values = _floats("attenuation", np.atleast_1d(np.asarray(attenuation)), 1)
            if values.shape != (self.N_e,):
                raise ValueError(
                    f"attenuation: expected {self.N_e} numbers, one per element, got {values.shape[0]}"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"attenuation: expected finite numbers, got {values.tolist()}")
            self.attenuation = values
        names = (
            [f"element {e + 1}" for e in range(self.N_e)] if element_names is None else list(element_names)
        )
        if len(names) != self.N_e or not all(isinstance(name, str) for name in names):
            raise ValueError(f"element_names: expected {self.N_e} names, one per element, got {names!r}")
        if len(set(names)) != len(names):
            raise ValueError(f"element_names: expected a different name for each element, got {names!r}")
        self.element_names: list[str] = [str(name) for name in names]

    def _set_truth(self, truth: Mapping[str, NDArray] | None) -> None:
        expected = {
            "object": self.shape,
            "elements": (self.N_e, *self.shape),
            "probe": self.probe.shape,
        }
        self.truth: dict[str, NDArray] = {}
        if truth is not None and not isinstance(truth, Mapping):
            raise ValueError(f"truth: expected a mapping of names to arrays, got {type(truth).__name__}")
        for name, array in (truth or {}).items():
            if name not in expected:
                raise ValueError(f"truth: expected keys among {', '.join(expected)}, got {name!r}")
            if np.shape(array) != expected[name]:
                raise ValueError(f"truth: expected {name} of shape {expected[name]}, got {np.shape(array)}")
            if np.asarray(array).dtype.kind not in "fiuc":
                raise ValueError(f"truth: expected {name} in numbers, got {np.asarray(array).dtype}")
            self.truth[name] = np.asarray(array)

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
            (attenuation, names, sensitivity, background, count scale, true maps) goes back to its default
            unless it is given too.

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
        per_element = "attenuation element_names sensitivity background fluorescence_count_scale".split()
        others = "shape fluorescence mask exposure count_scale blur geometry units title truth".split()
        arguments: dict[str, Any] = {
            name: getattr(self, name) for name in ("patterns", "positions", "probe", *others)
        }
        arguments.update(changes)
        maps = arguments["fluorescence"]
        if maps is not None and len(maps) == self.N_e:
            arguments = {name: getattr(self, name) for name in per_element} | arguments
        elif "truth" not in changes and len(() if maps is None else maps) != self.N_e:
            arguments["truth"] = {name: array for name, array in self.truth.items() if name != "elements"}
        return Scan(**arguments)

    def __repr__(self) -> str:
        maps = "no fluorescence" if self.sampling is None else f"{self.N_e} elements ({self.sampling})"
        return (
            f"<Scan: {self.N} patterns of {self.m} x {self.m}, object {self.shape[0]} x {self.shape[1]}, "
            f"{self.K} probe mode(s), {maps}>"
        )
