"""Simulated scans: the model of both modalities written out plainly, and its noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C, Geometry
from ptyxrf.driver.data.scan import BLURS, POSITION_ROUNDING, Scan
from ptyxrf.driver.simulation.noise import check_level, poisson_noise
from ptyxrf.driver.simulation.probe_modes import probe_modes
from ptyxrf.driver.simulation.scan_paths import covered_shape, scan_positions
from ptyxrf.driver.simulation.specimens import Specimen, cells, siemens_star
from ptyxrf.driver.simulation.zone_plate import DEFAULT_ENERGY, DEFAULT_PIXEL_SIZE, zone_plate_probe

SPECIMENS = {"cells": cells, "star": siemens_star}
SAMPLINGS = ("grid", "scan")
#: Window of the probe where neither m nor a probe is given.
DEFAULT_M = 64
#: Pixel of the detector that a simulated geometry has, in metres.
DETECTOR_PIXEL = 75e-6
#: Complex numbers in one block of patterns (16 MB).
BLOCK = 2**20


def _per_item(name: str, value: ArrayLike, count: int, what: str, *, positive: bool) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in ((), (count,)):
        raise ValueError(
            f"{name}: expected a number or {count} of them (one per {what}), got shape {array.shape}"
        )
    if not np.isfinite(array).all() or (array < 0).any() or (positive and (array == 0).any()):
        kind = "positive" if positive else "non-negative"
        raise ValueError(f"{name}: expected finite {kind} numbers, got {array.tolist()}")
    return np.broadcast_to(array, (count,)).copy()


def _exit_waves(
    probe: NDArray, positions: NDArray, z: NDArray, exposure: NDArray
) -> Iterator[tuple[slice, NDArray, NDArray]]:
    """Yield a few positions at a time: which, the shifted probes, and the waves behind the specimen.

    The probes (B, K, m, m) are those of each position times the root of its exposure, shifted by the
    fraction f of the position beyond its integer corner: the transform of the probe times
    exp(-2 pi i (f_r k + f_c l) / m), k and l the signed frequencies. The waves have the same shape.
    """
    count, m = probe.shape[:2]
    frequency = np.fft.fftfreq(m)
    spectrum = np.fft.fft2(probe)
    corners = np.floor(positions).astype(int)
    fractions = positions - corners
    size = max(1, BLOCK // (count * m * m))
    for first in range(0, len(positions), size):
        block = slice(first, min(first + size, len(positions)))
        row, column = np.exp(-2j * np.pi * fractions[block].T[:, :, None] * frequency)
        shifted = np.fft.ifft2(spectrum * row[:, None, :, None] * column[:, None, None, :])
        whole = ~fractions[block].any(axis=1)
        shifted[whole] = probe  # not even rounding errors where there is nothing to shift
        shifted *= np.sqrt(exposure[block])[:, None, None, None]
        patches = np.stack([z[r : r + m, c : c + m] for r, c in corners[block]])
        yield block, shifted, shifted * patches[:, None]


def _blur(kernel: NDArray, w: NDArray, kind: str) -> NDArray[np.float64]:
    """Blur a map by the (m, m) probe intensity, zero outside the map, the kernel's centre at m//2.

    convolution: out[r] = sum_s kernel[s] w[r - s + m//2];
    correlation: out[r] = sum_s kernel[s] w[r + s - m//2].
    """
    m = len(kernel)
    first = m // 2
    if kind == "correlation":
        kernel = kernel[::-1, ::-1]
        first = m - 1 - m // 2
    full = (w.shape[0] + m - 1, w.shape[1] + m - 1)
    blurred = np.fft.irfft2(np.fft.rfft2(kernel, full) * np.fft.rfft2(w, full), full)
    blurred = blurred[first : first + w.shape[0], first : first + w.shape[1]]
    # What comes of non-negative maps is not negative; the transforms leave rounding errors about zero.
    return np.maximum(blurred, 0) if w.min() >= 0 else blurred


def _given_specimen(
    specimen: Specimen | ArrayLike, shape: tuple[int, int] | None, elements: int | None, link_offset: float
) -> Specimen:
    """Return a specimen that came as one or as an array, if the sizes agree."""
    if not isinstance(specimen, Specimen):
        z = np.asarray(specimen)
        if z.ndim != 2 or z.dtype.kind not in "fiuc":
            raise ValueError(
                f"specimen: expected a complex array (n_rows, n_cols), got {z.dtype} of shape {z.shape}"
            )
        specimen = Specimen(z.real, z.imag[None] - link_offset, np.ones(1), ("element 1",))
    if elements is not None and elements != len(specimen.elements):
        raise ValueError(
            f"elements: expected the specimen's {len(specimen.elements)} or none, got {elements}"
        )
    if shape is not None and shape != specimen.shape:
        raise ValueError(f"shape: expected {specimen.shape}, that of the specimen, or none, got {shape}")
    return specimen


def _grid(n: int | None, shape: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the object grid that was asked for, if any was."""
    if n is not None and shape is not None:
        raise ValueError(f"n: expected n or shape, got n {n} and shape {shape}")
    if n is not None:
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n: expected a positive integer, got {n!r}")
        return int(n), int(n)
    if shape is None:
        return None
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape: expected (n_rows, n_cols), got {shape!r}")
    if any(not isinstance(size, int | np.integer) or size < 1 for size in shape):
        raise ValueError(f"shape: expected two positive integers (n_rows, n_cols), got {shape!r}")
    return int(shape[0]), int(shape[1])


def _optics(
    m: int, geometry: Geometry | None, energy: float | None, pixel_size: float | None
) -> tuple[Geometry, float]:
    """Return the geometry and the pixel of the object grid, from what was given of them."""
    if geometry is not None:
        for name, value in (("energy", energy), ("pixel_size", pixel_size)):
            if value is not None:
                raise ValueError(f"{name}: expected none beside a geometry, which holds it, got {value}")
        return geometry, geometry.pixel_size(m)
    energy = DEFAULT_ENERGY if energy is None else energy
    pixel_size = DEFAULT_PIXEL_SIZE if pixel_size is None else pixel_size
    for name, value in (("energy", energy), ("pixel_size", pixel_size)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a finite positive number in SI units, got {value}")
    distance = pixel_size * m * DETECTOR_PIXEL * energy / PLANCK_TIMES_C
    return Geometry(energy, distance, DETECTOR_PIXEL), pixel_size


def _probe(
    m: int | None,
    probe: ArrayLike | None,
    modes: int | None,
    optics: tuple[Geometry | None, float | None, float | None],
    plate: dict[str, float],
) -> tuple[NDArray[np.complex128], Geometry]:
    """Return the (K, m, m) modes that were given, or those of a zone plate, and the geometry."""
    if probe is None:
        m = DEFAULT_M if m is None else m
        if not isinstance(m, int | np.integer) or m < 2:
            raise ValueError(f"m: expected an integer of at least 2 pixels, got {m!r}")
        geometry, pixel_size = _optics(int(m), *optics)
        field = zone_plate_probe(int(m), pixel_size=pixel_size, energy=geometry.energy, **plate)
    else:
        field = np.array(probe, dtype=np.complex128)
        if field.ndim not in (2, 3) or field.shape[-1] != field.shape[-2] or field.size == 0:
            raise ValueError(f"probe: expected shape (m, m) or (K, m, m), got {field.shape}")
        if not np.isfinite(field).all():
            raise ValueError("probe: expected finite numbers, got NaN or infinity")
        if not field.any():
            raise ValueError("probe: expected some intensity, got zeros only")
        if m not in (None, field.shape[-1]):
            raise ValueError(f"m: expected {field.shape[-1]}, that of the probe, or none, got {m}")
        if plate:
            name, value = next(iter(plate.items()))
            raise ValueError(f"{name}: expected none beside a probe, got {value}")
        geometry, _ = _optics(field.shape[-1], *optics)
    if field.ndim == 3:
        if modes not in (None, len(field)):
            raise ValueError(f"modes: expected {len(field)}, those of the probe, or none, got {modes}")
        return field, geometry
    if modes is None:
        return field[None], geometry
    if not isinstance(modes, int | np.integer) or modes < 1:
        raise ValueError(f"modes: expected an integer of at least 1, got {modes!r}")
    return probe_modes(field, modes), geometry


def _given_positions(
    positions: ArrayLike, m: int, grid: tuple[int, int] | None
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return positions that were given and the object grid, if the windows are inside it."""
    where = np.array(positions, dtype=np.float64)
    if where.ndim != 2 or where.shape[1] != 2 or len(where) == 0:
        raise ValueError(f"positions: expected shape (N, 2), got {where.shape}")
    if not np.isfinite(where).all() or where.min() < 0:
        raise ValueError(f"positions: expected finite pixels of at least 0, got some down to {where.min()}")
    # As a scan does: what is an integer but for rounding errors is that integer.
    nearest = np.round(where)
    where = np.where(np.abs(where - nearest) < POSITION_ROUNDING, nearest, where)
    rows, columns = (int(size) for size in np.floor(where.max(axis=0)).astype(int) + m)
    if grid is None:
        return where, (rows, columns)
    if rows > grid[0] or columns > grid[1]:
        raise ValueError(
            f"positions: expected windows of {m} pixels inside the object grid {grid[0]} x {grid[1]}, "
            f"got some that need {rows} x {columns}"
        )
    return where, grid


def simulate(
    specimen: str | Specimen | ArrayLike = "cells",
    *,
    n: int | None = None,
    shape: tuple[int, int] | None = None,
    elements: int | None = None,
    attenuation: ArrayLike | None = None,
    link_offset: float = 0.0,
    m: int | None = None,
    probe: ArrayLike | None = None,
    modes: int | None = None,
    geometry: Geometry | None = None,
    energy: float | None = None,
    pixel_size: float | None = None,
    outermost_zone_width: float | None = None,
    diameter: float | None = None,
    central_stop: float | None = None,
    defocus: float | None = None,
    positions: ArrayLike | None = None,
    path: str = "raster",
    per_side: int | tuple[int, int] | None = 8,
    overlap: float | None = None,
    step: float | None = None,
    margin: int = 0,
    jitter: float | None = None,
    fractional: bool = False,
    sampling: str | None = "grid",
    blur: str = "convolution",
    exposure: ArrayLike = 1.0,
    sensitivity: ArrayLike = 1.0,
    background: ArrayLike = 0.0,
    photons: float | None = None,
    noise: float | str = 0.03,
    fluorescence_noise: float | str | None = None,
    dtype: str | type = "float64",
    seed: int = 0,
    title: str | None = None,
) -> Scan:
    """Simulate the diffraction patterns and the fluorescence of a scan.

    With F the unitary transform, t_j the exposure and P_jk probe mode k shifted by the fraction of
    position j,

        d_j = t_j sum_k |F(P_jk z_j)|^2,    z = x + i (link_offset + sum_e mu_e w_e),

    and the fluorescence, with |P|^2 = sum_k |P_k|^2, is

        grid:  D_e  = s_e (|P|^2 blurring w_e) + B_e                on the object grid,
        scan:  D_ej = s_e t_j sum |P_j|^2 (w_e)_j + B_e             at each position

    (arXiv 2511.02153, section 2, and its noise model). By default: 8 x 8 positions with half of each
    64 x 64 window overlapping the next, on the grid that they cover, with 3 % noise.

    Parameters
    ----------
    specimen : {"cells", "star"} or Specimen or (n_rows, n_cols) array of complex
        What is scanned. An array has one element, w = Im z - link_offset with mu = 1.
    n : int, optional
        Edge of a square object grid.
    shape : (int, int), optional
        (n_rows, n_cols) of the object grid, in place of `n`; default: that of the specimen, or what the
        positions cover.
    elements : int, optional
        Number of elements N_e of a specimen given by name; default 1.
    attenuation : (N_e,) array of float, optional
        mu_e in place of the specimen's own.
    link_offset : float
        Constant of the linear link.
    m : int, optional
        Edge of the probe window; default 64, or that of `probe`.
    probe : (m, m) or (K, m, m) array of complex, optional
        Default: that of a zone plate, `zone_plate_probe`.
    modes : int, optional
        Probe modes K, made of a single probe by `probe_modes`; default 1.
    geometry : Geometry, optional
        Energy, distance and detector pixel; default: made from `energy` and `pixel_size` for detector
        pixels of 75 micrometres.
    energy : float, optional
        Photon energy in joules; default 8.8 keV.
    pixel_size : float, optional
        Pixel of the object grid in metres; default 25 nm.
    outermost_zone_width, diameter, central_stop, defocus : float, optional
        Of the zone plate, in metres; see `zone_plate_probe`.
    positions : (N, 2) array of float, optional
        (row, column) of each window's first pixel; default: made by `scan_positions` from the next six.
    path : {"raster", "snake", "spiral", "random"}
        Kind of scan.
    per_side : int or (int, int) or None
        Positions along rows and columns; None: as many as fit.
    overlap : float, optional
        1 - step/m; default: even positions over a grid that is given, else 0.5.
    step : float, optional
        Step in pixels, in place of `overlap`.
    margin : int
        Pixels left around the outermost windows.
    jitter : float, optional
        Random displacement, as a fraction of the step.
    fractional : bool
        Keep fractions of pixels in the positions.
    sampling : {"grid", "scan", None}
        How the fluorescence is sampled; None: patterns alone.
    blur : {"convolution", "correlation"}
        How grid maps are blurred.
    exposure : float or (N,) array of float
        t_j. It multiplies patterns and the fluorescence of scan sampling.
    sensitivity, background : float or (N_e,) array of float
        s_e in counts, B_e in counts.
    photons : float, optional
        Mean counts per pixel of the patterns, to which the probe is scaled. Default: the probe as it is.
    noise : float or "counting"
        Noise level of the patterns, sqrt(eta_j / mean(d_j)); 0 for none; "counting" draws counts (eta = 1),
        as with `photons` a detector would.
    fluorescence_noise : float or "counting", optional
        The same for the maps; default: `noise`.
    dtype : {"float64", "float32"}
        Of the patterns.
    seed : int
        Of the specimen, the positions and both noises, each of which has random numbers of its own: to
        change the noise of the maps does not change the patterns.
    title : str, optional
        A line about the scan.

    Returns
    -------
    Scan
        With the truth (object, elements, probe), the count scales eta_j and eta_e, and the geometry.

    Raises
    ------
    ValueError
        Naming the argument, what was expected (what would fit) and what came: an argument out of its
        range, sizes that do not agree, windows outside the grid, negative concentrations whose
        fluorescence would have noise.
    """
    # What is wrong with any argument is said before anything is computed.
    if sampling is not None and sampling not in SAMPLINGS:
        raise ValueError(f"sampling: expected one of {', '.join(SAMPLINGS)} or None, got {sampling!r}")
    if blur not in BLURS:
        raise ValueError(f"blur: expected one of {', '.join(BLURS)}, got {blur!r}")
    noise = check_level("noise", noise)
    fluorescence_noise = (
        noise if fluorescence_noise is None else check_level("fluorescence_noise", fluorescence_noise)
    )
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected float32 or float64, got {dtype}")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: expected a non-negative integer, got {seed!r}")
    if photons is not None and not (np.isfinite(photons) and photons > 0):
        raise ValueError(f"photons: expected a finite positive number, got {photons}")
    if not np.isfinite(link_offset):
        raise ValueError(f"link_offset: expected a finite number, got {link_offset}")

    plate = {
        "outermost_zone_width": outermost_zone_width,
        "diameter": diameter,
        "central_stop": central_stop,
        "defocus": defocus,
    }
    given = {name: value for name, value in plate.items() if value is not None}
    field, geometry = _probe(m, probe, modes, (geometry, energy, pixel_size), given)
    m = field.shape[-1]

    if elements is not None and (not isinstance(elements, int | np.integer) or elements < 1):
        raise ValueError(f"elements: expected an integer of at least 1, got {elements!r}")
    grid = _grid(n, shape)
    if isinstance(specimen, str):
        if specimen not in SPECIMENS:
            raise ValueError(
                f"specimen: expected {', '.join(SPECIMENS)}, a Specimen or an array, got {specimen!r}"
            )
    else:
        sample = _given_specimen(specimen, grid, elements, link_offset)
        grid = sample.shape
    if positions is not None:
        where, grid = _given_positions(positions, m, grid)
    else:
        asked = grid
        if grid is None:
            if per_side is None:
                raise ValueError("per_side: expected a number of positions where no grid is given, got None")
            grid = covered_shape(m, per_side=per_side, overlap=overlap, step=step, margin=margin)
        where = scan_positions(
            path,
            m,
            asked,
            per_side=per_side,
            overlap=overlap,
            step=step,
            margin=margin,
            jitter=jitter,
            fractional=fractional,
            seed=seed,
        )
    count = len(where)
    if isinstance(specimen, str):
        draw = SPECIMENS[specimen]
        sample = draw(grid, n_elements=1 if elements is None else elements, seed=seed)
    if attenuation is not None:
        sample = Specimen(
            sample.real_part, sample.elements, np.atleast_1d(np.asarray(attenuation)), sample.element_names
        )
    z = sample.transmission(link_offset)
    times = _per_item("exposure", exposure, count, "position", positive=True)
    n_elements = len(sample.elements)
    sensitivities = _per_item("sensitivity", sensitivity, n_elements, "element", positive=True)
    backgrounds = _per_item("background", background, n_elements, "element", positive=False)

    if photons is not None:
        # The transform is unitary: the waves hold as much as the patterns.
        total = sum(float(np.sum(np.abs(waves) ** 2)) for _, _, waves in _exit_waves(field, where, z, times))
        if not total > 0:
            raise ValueError(
                "photons: expected a specimen that lets some light through, got an object of zeros"
            )
        field = field * np.sqrt(photons * count * m * m / total)

    # Streams of their own: the seed alone would give both modalities the same random numbers.
    pattern_generator, map_generator = (np.random.default_rng([seed, stream]) for stream in (1, 2))
    patterns = np.empty((count, m, m), dtype=dtype)
    count_scale = np.empty(count)
    at_positions = np.empty((n_elements, count))
    for block, probes, waves in _exit_waves(field, where, z, times):
        clean = np.sum(np.abs(np.fft.fft2(waves, norm="ortho")) ** 2, axis=1)
        patterns[block], count_scale[block] = poisson_noise(
            np.fft.fftshift(clean, axes=(1, 2)), noise, pattern_generator
        )
        if sampling == "scan":
            light = np.sum(np.abs(probes) ** 2, axis=1)
            for j, (r, c) in enumerate(np.floor(where[block]).astype(int)):
                patch = sample.elements[:, r : r + m, c : c + m]
                at_positions[:, block.start + j] = np.tensordot(patch, light[j], axes=2)

    truth: dict[str, NDArray] = {"object": z, "probe": field}
    if sampling is None:
        fluorescence = fluorescence_scale = None
    else:
        if sampling == "scan":
            clean_maps = at_positions
        else:
            kernel = np.sum(np.abs(field) ** 2, axis=0)
            clean_maps = np.stack([_blur(kernel, w, blur) for w in sample.elements])
        extra = (-1, *[1] * (clean_maps.ndim - 1))
        clean_maps = sensitivities.reshape(extra) * clean_maps + backgrounds.reshape(extra)
        if fluorescence_noise != 0 and clean_maps.min() < 0:
            raise ValueError(
                "specimen: expected concentrations that are not negative, so that counts can be drawn, "
                f"got a fluorescence down to {clean_maps.min():.3g}"
            )
        fluorescence, fluorescence_scale = poisson_noise(clean_maps, fluorescence_noise, map_generator)
        truth["elements"] = sample.elements
    if title is None:
        kind = specimen if isinstance(specimen, str) else "specimen"
        title = f"simulated {kind}, {count} positions, {path if positions is None else 'given positions'}"
    with_maps = sampling is not None
    return Scan(
        patterns,
        where,
        field,
        shape=grid,
        fluorescence=fluorescence,
        attenuation=sample.attenuation if with_maps else None,
        element_names=sample.element_names if with_maps else None,
        exposure=times,
        sensitivity=sensitivities if with_maps else None,
        background=backgrounds if with_maps else None,
        count_scale=count_scale,
        fluorescence_count_scale=fluorescence_scale,
        blur=blur,
        geometry=geometry,
        truth=truth,
        title=title,
    )
