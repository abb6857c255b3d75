"""Simulated scans: the plain model of both data sets, and its noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import per_item
from ptyxrf.driver.data.geometry import Geometry
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import takes_settings
from ptyxrf.driver.data.window_places import POSITION_ROUNDING
from ptyxrf.driver.simulation.images import from_images, read_image
from ptyxrf.driver.simulation.noise import poisson_noise
from ptyxrf.driver.simulation.plain_model import blurred, exit_waves
from ptyxrf.driver.simulation.probe_and_geometry import probe_and_geometry
from ptyxrf.driver.simulation.refractive_specimen import RefractiveSpecimen, refractive_specimen
from ptyxrf.driver.simulation.scan_paths import covered_shape, scan_positions
from ptyxrf.driver.simulation.settings import SimulationSettings
from ptyxrf.driver.simulation.specimens import Specimen, cells, siemens_star

SPECIMENS = {"cells": cells, "star": siemens_star}


@takes_settings(SimulationSettings, positional=("specimen",))
def simulate(
    settings: SimulationSettings,
    *,
    probe: ArrayLike | None = None,
    positions: ArrayLike | None = None,
    geometry: Geometry | None = None,
    exposure: ArrayLike = 1.0,
) -> Scan:
    """Simulate the diffraction patterns and the fluorescence of a scan.

    With F the unitary transform, t_j the exposure, P_jk mode k of the probe, shifted by the fraction of
    position j, and |P|^2 = sum_k |P_k|^2,

        d_j  = t_j sum_k |F(P_jk z_j)|^2,      z = x + i (link_offset + sum_e mu_e w_e)
                                               or z = exp(-(a_m + i p_m) m - sum_e (a_e + i p_e) w_e)
        D_e  = s_e (|P|^2 blurring w_e) + B_e          grid sampling: on the object grid
        D_ej = s_e t_j sum |P_j|^2 (w_e)_j + B_e       scan sampling: at each position

    (arXiv 2511.02153, section 2, and its noise model). By default: 8 x 8 positions with half of each
    64 x 64 window overlapping the next, on the grid that they cover, with 3 % noise.

    Parameters
    ----------
    {settings}
    probe : (m, m) or (K, m, m) array of complex, optional
        Default: that of a zone plate, `zone_plate_probe`.
    positions : (N, 2) array of float, optional
        (row, column) of each window's first pixel; default: made by `scan_positions`.
    geometry : Geometry, optional
        Energy, distance and detector pixel; default: made from energy and pixel size.
    exposure : float or (N,) array of float
        t_j.

    Returns
    -------
    Scan
        With the truth (object, elements, probe), the count scales eta_j and eta_e, and the geometry.

    Raises
    ------
    ValueError
        An argument is out of its range, sizes do not agree, windows lie outside the grid, or negative
        concentrations would get noise.
    """
    modes, geometry = probe_and_geometry(settings, probe, geometry)
    sample, where = _sample_and_positions(settings, modes.shape[-1], positions, geometry.energy)
    times = per_item("exposure", exposure, len(where), "position")
    waves = _Waves(modes, where, sample.transmission(settings.link_offset), times).scaled(settings.photons)
    data = _data(settings, sample, waves)
    return Scan(
        positions=where,
        probe=waves.modes,
        shape=sample.shape,
        exposure=times,
        blur=settings.blur,
        geometry=geometry,
        title=settings.title or _title(settings, len(where), positions is not None),
        **data,
    )


def _title(settings: SimulationSettings, count: int, given: bool) -> str:
    procedural = isinstance(settings.specimen, str) and settings.magnitude is settings.real is None
    path = "given positions" if given else settings.path
    return f"simulated {settings.specimen if procedural else 'specimen'}, {count} positions, {path}"


# ------------------------------------------------------------------------------ specimen and positions


def _sample_and_positions(
    settings: SimulationSettings, m: int, positions: ArrayLike | None, energy: float
) -> tuple[Specimen, NDArray[np.float64]]:
    """Return the specimen, drawn on the grid that the positions cover where none is given, and these."""
    sample = _given_specimen(settings)
    grid = (settings.n, settings.n) if settings.n is not None else settings.shape
    if sample is not None:
        if grid not in (None, sample.shape):
            raise ValueError(f"shape: expected {sample.shape}, that of the specimen, or none, got {grid}")
        grid = sample.shape
    if positions is not None:
        where, grid = _given_positions(positions, m, grid)
    else:
        where, grid = _made_positions(settings, m, grid)
    if sample is None:
        draw = SPECIMENS[str(settings.specimen)]
        sample = draw(grid, n_elements=settings.elements or 1, seed=settings.seed)
    if settings.attenuation is not None:
        sample = replace(sample, attenuation=np.atleast_1d(np.asarray(settings.attenuation)))
    if settings.link == "refractive":
        sample = refractive_specimen(sample, energy, settings.contrast, settings.matrix)
    return sample, where


def _given_specimen(settings: SimulationSettings) -> Specimen | None:
    """Return a specimen that is not procedural, if one is given."""
    specimen = settings.specimen
    for first, second in (("magnitude", "phase"), ("real", "imaginary")):
        if getattr(settings, first) is not None:
            images = (read_image(getattr(settings, name)) for name in (first, second))
            shape = settings.shape if settings.n is None else (settings.n, settings.n)
            specimen = from_images(*images, kind=f"{first}-{second}", shape=shape)
    if isinstance(specimen, str):
        return None
    if not isinstance(specimen, Specimen):
        z = np.asarray(specimen)
        if z.ndim != 2 or z.dtype.kind not in "fiuc":
            raise ValueError(
                f"specimen: expected a complex array (n_rows, n_cols), got {z.dtype} of shape {z.shape}"
            )
        specimen = Specimen(z.real, z.imag[None] - settings.link_offset, np.ones(1), ("element 1",))
    if settings.elements not in (None, len(specimen.elements)):
        raise ValueError(
            f"elements: expected the specimen's {len(specimen.elements)} or none, got {settings.elements}"
        )
    return specimen


def _made_positions(
    settings: SimulationSettings, m: int, grid: tuple[int, int] | None
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return the positions of a scan path and the object grid, which is what they cover if none is given."""
    per_side = None if settings.per_side == "fit" else settings.per_side
    spacing: dict[str, Any] = {
        "per_side": per_side,
        "overlap": settings.overlap,
        "step": settings.step,
        "margin": settings.margin,
    }
    shape = grid
    if shape is None:
        if per_side is None:
            raise ValueError("per_side: expected a number of positions where no grid is given, got fit")
        shape = covered_shape(m, **spacing)
    where = scan_positions(
        settings.path,
        m,
        grid,
        **spacing,
        jitter=settings.jitter,
        fractional=settings.fractional,
        seed=settings.seed,
    )
    return where, shape


def _given_positions(
    positions: ArrayLike, m: int, grid: tuple[int, int] | None
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return positions that were given and the object grid, if the windows are inside it."""
    where = np.array(positions, dtype=np.float64)
    if where.ndim != 2 or where.shape[1] != 2 or len(where) == 0:
        raise ValueError(f"positions: expected shape (N, 2), got {where.shape}")
    if not np.isfinite(where).all() or where.min() < 0:
        raise ValueError(f"positions: expected finite pixels of at least 0, got some down to {where.min()}")
    # as in a scan, a position that is an integer except for rounding errors is that integer
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


# ---------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class _Waves:
    """All that makes the exit waves: modes, positions, object and exposure, as of `exit_waves`."""

    modes: NDArray[np.complex128]
    positions: NDArray[np.float64]
    z: NDArray[np.complex128]
    exposure: NDArray[np.float64]

    def __iter__(self) -> Iterator[tuple[slice, NDArray, NDArray]]:
        return exit_waves(self.modes, self.positions, self.z, self.exposure)

    def scaled(self, photons: float | None) -> _Waves:
        """Return the waves whose patterns have a mean of so many photons; None: as they are."""
        if photons is None:
            return self
        # the transform is unitary: the waves hold as many photons as the patterns
        total = sum(float(np.sum(np.abs(waves) ** 2)) for _, _, waves in self)
        if not total > 0:
            raise ValueError(
                "photons: expected a specimen that transmits some intensity, got an object of zeros"
            )
        numbers = len(self.positions) * self.modes.shape[-1] ** 2
        return replace(self, modes=self.modes * np.sqrt(photons * numbers / total))


def _data(settings: SimulationSettings, sample: Specimen, waves: _Waves) -> dict[str, Any]:
    """Return what the detectors record and the truth, as keywords of `Scan`."""
    each = (len(sample.elements), "element")
    detector = {
        "sensitivity": per_item("sensitivity", settings.sensitivity, *each),
        "background": per_item("background", settings.background, *each, zero=True),
    }
    patterns, count_scale, blurred_maps = _patterns(settings, sample, waves)
    truth: dict[str, NDArray[Any]] = {"object": waves.z, "probe": waves.modes}
    data: dict[str, Any] = {"patterns": patterns, "count_scale": count_scale, "truth": truth}
    if settings.sampling == "none":
        return data
    if settings.sampling == "grid":
        kernel = np.sum(np.abs(waves.modes) ** 2, axis=0)
        blurred_maps = np.stack([blurred(kernel, w, settings.blur) for w in sample.elements])
    truth["elements"] = sample.elements
    data |= {"attenuation": sample.attenuation, "element_names": sample.element_names}
    if isinstance(sample, RefractiveSpecimen):
        data["phase_shift"] = sample.phase_shift
    return data | detector | _counts(settings, blurred_maps, **detector)


def _patterns(
    settings: SimulationSettings, sample: Specimen, waves: _Waves
) -> tuple[NDArray, NDArray[np.float64], NDArray[np.float64]]:
    """Return noisy patterns, their count scales, and the elements seen at each position."""
    m, where = waves.modes.shape[-1], waves.positions
    generator = _generator(settings, 1)
    patterns = np.empty((len(where), m, m), dtype=settings.dtype)
    count_scale = np.empty(len(where))
    blurred_maps = np.empty((len(sample.elements), len(where)))
    for which, probes, behind in waves:
        clean = np.sum(np.abs(np.fft.fft2(behind, norm="ortho")) ** 2, axis=1)
        patterns[which], count_scale[which] = poisson_noise(
            np.fft.fftshift(clean, axes=(1, 2)), settings.noise, generator
        )
        if settings.sampling == "scan":
            intensity = np.sum(np.abs(probes) ** 2, axis=1)
            for j, (r, c) in enumerate(np.floor(where[which]).astype(int)):
                patch = sample.elements[:, r : r + m, c : c + m]
                blurred_maps[:, which.start + j] = np.tensordot(patch, intensity[j], axes=2)
    return patterns, count_scale, blurred_maps


def _counts(
    settings: SimulationSettings, blurred_maps: NDArray, sensitivity: NDArray, background: NDArray
) -> dict[str, NDArray[np.float64]]:
    """Return noisy counts of each element and their count scales."""
    each = (-1, *[1] * (blurred_maps.ndim - 1))
    clean = sensitivity.reshape(each) * blurred_maps + background.reshape(each)
    noise = settings.noise if settings.fluorescence_noise is None else settings.fluorescence_noise
    if noise != 0 and clean.min() < 0:
        raise ValueError(
            "specimen: expected concentrations that are not negative, so that counts can be drawn, "
            f"got a fluorescence down to {clean.min():.3g}"
        )
    fluorescence, scale = poisson_noise(clean, noise, _generator(settings, 2))
    return {"fluorescence": fluorescence, "fluorescence_count_scale": scale}


def _generator(settings: SimulationSettings, stream: int) -> np.random.Generator:
    """Return random numbers of a data set; those of the seed alone would be the same for both."""
    return np.random.default_rng([settings.seed, stream])
