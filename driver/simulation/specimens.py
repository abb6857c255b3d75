"""Specimens to simulate: a Siemens star, and cells with particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import integer, integer_pair

#: Elements that X-ray fluorescence microscopes map, in the order in which specimens use them.
ELEMENTS = ("P", "S", "K", "Ca", "Fe", "Cu", "Zn", "Mn", "Ni", "Cl")


@dataclass(frozen=True)
class Specimen:
    """An object with the concentrations that form its imaginary part.

    Parameters
    ----------
    real_part : (n_rows, n_cols) array of float64
        x of the object z = x + i (link_offset + sum_e mu_e w_e).
    elements : (N_e, n_rows, n_cols) array of float64
        Concentrations w_e.
    attenuation : (N_e,) array of float64
        mu_e.
    element_names : tuple of str
        One for each element.

    Raises
    ------
    ValueError
        The shapes do not agree, or a number is not finite.
    """

    real_part: NDArray[np.float64]
    elements: NDArray[np.float64]
    attenuation: NDArray[np.float64]
    element_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, ndim in (("real_part", 2), ("elements", 3), ("attenuation", 1)):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.ndim != ndim or array.size == 0:
                raise ValueError(
                    f"{name}: expected {ndim} dimension(s) and some values, got shape {array.shape}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "element_names", tuple(self.element_names))
        if self.elements.shape[1:] != self.real_part.shape:
            raise ValueError(
                f"elements: expected maps of shape {self.real_part.shape} as real_part has, "
                f"got {self.elements.shape[1:]}"
            )
        count = len(self.elements)
        for name in ("attenuation", "element_names"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: expected {count}, one per element, got {len(getattr(self, name))}")

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_cols)."""
        rows, columns = self.real_part.shape
        return rows, columns

    def transmission(self, link_offset: float = 0.0) -> NDArray[np.complex128]:
        """Complex object z = x + i (link_offset + sum_e mu_e w_e), shape (n_rows, n_cols)."""
        return self.real_part + 1j * (link_offset + np.tensordot(self.attenuation, self.elements, axes=1))


def _assemble(real_part: NDArray, maps: NDArray) -> Specimen:
    """Scale the maps so that the imaginary part reaches 1 where it is largest."""
    count = len(maps)
    # 1, 2/3, 1/2, 2/5, ...: a different attenuation for each element
    attenuation = np.array([2.0 / (2.0 + e) for e in range(count)])
    names = tuple(ELEMENTS[e] if e < len(ELEMENTS) else f"element {e + 1}" for e in range(count))
    largest = np.tensordot(attenuation, maps, axes=1).max()
    return Specimen(np.clip(real_part, 0, 1), maps / largest, attenuation, names)


def _texture(shape: tuple[int, int], grain: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return white noise smoothed by a Gaussian of `grain` pixels, from 0 to 1."""
    noise = generator.standard_normal(shape)
    row, column = np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])
    window = np.exp(-2 * (np.pi * grain) ** 2 * (row[:, None] ** 2 + column**2))
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * window, s=shape)
    return scaled_to_unit(smooth) if np.ptp(smooth) > 0 else np.zeros(shape)


def scaled_to_unit(array: NDArray) -> NDArray[np.float64]:
    """Return an array scaled to reach from 0 to 1."""
    return (array - array.min()) / np.ptp(array)


def siemens_star(
    shape: tuple[int, int] = (286, 286), *, n_elements: int = 1, spokes: int = 18, seed: int = 0
) -> Specimen:
    """Make a Siemens star: hard radial edges from coarse to fine, cut by rings, on a grained support.

    Parameters
    ----------
    shape : (int, int)
        (n_rows, n_cols).
    n_elements : int
        Number of elements; they alternate over the spokes, and a ring contains all of them.
    spokes : int
        Number of spokes, at least `n_elements`.
    seed : int
        Seed of the grain.

    Returns
    -------
    Specimen
        Real part and imaginary part in [0, 1]; concentrations are not negative.

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    shape, n_elements = integer_pair("shape", shape, 1), integer("n_elements", n_elements, 1)
    spokes = integer("spokes", spokes, max(2, n_elements))
    generator = np.random.default_rng(seed)
    row = (np.arange(shape[0]) - (shape[0] - 1) / 2)[:, None]
    column = np.arange(shape[1]) - (shape[1] - 1) / 2
    radius = np.hypot(row, column) / (min(shape) / 2)
    sector = np.floor((np.arctan2(row, column) / (2 * np.pi) + 0.5) * 2 * spokes).astype(int) % (2 * spokes)
    gaps = (np.abs(radius - 0.33) < 0.02) | (np.abs(radius - 0.62) < 0.02)
    spoke = (sector % 2 == 0) & (radius < 0.9) & ~gaps
    rim = (radius > 0.92) & (radius < 0.98)

    grain = _texture(shape, 1.2, generator)
    maps = np.empty((n_elements, *shape))
    for e in range(n_elements):
        own = spoke & (sector // 2 % n_elements == e)
        maps[e] = own * (0.8 + 0.2 * grain) + rim * (0.3 + 0.2 * _texture(shape, 2.0, generator))
    # only the real part has the support under the star, so that one part does not determine the other
    support = 0.12 * _texture(shape, 3.0, generator) + 0.08 * _texture(shape, 1.0, generator)
    real_part = 1.0 - support - 0.5 * spoke - 0.3 * rim - 0.2 * (gaps & (radius < 0.9))
    return _assemble(real_part, maps)


def _ellipse(
    shape: tuple[int, int], centre: NDArray, axes: NDArray, angle: float, reach: float
) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """Return a box around an ellipse, and the distance of its pixels from the centre (1 on the edge)."""
    extent = reach * axes.max()
    low = [max(0, int(np.floor(centre[i] - extent))) for i in (0, 1)]
    high = [min(shape[i], int(np.ceil(centre[i] + extent)) + 1) for i in (0, 1)]
    row = np.arange(low[0], high[0])[:, None] - centre[0]
    column = np.arange(low[1], high[1]) - centre[1]
    along = (row * np.cos(angle) + column * np.sin(angle)) / axes[0]
    across = (column * np.cos(angle) - row * np.sin(angle)) / axes[1]
    return (slice(low[0], high[0]), slice(low[1], high[1])), np.hypot(along, across)


def cells(shape: tuple[int, int] = (286, 286), *, n_elements: int = 1, seed: int = 0) -> Specimen:
    """Make cells with particles: smooth bodies that elements share, and sharp particles of their own.

    Every element is in the bodies in proportions of its own; one out of three gathers in the nuclei and
    one in the membranes. The particles have hard edges.

    Parameters
    ----------
    shape : (int, int)
        (n_rows, n_cols).
    n_elements : int
        Number of elements N_e.
    seed : int
        The same seed gives the same specimen.

    Returns
    -------
    Specimen
        Real part and imaginary part in [0, 1]; concentrations are not negative.

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    shape, n_elements = integer_pair("shape", shape, 1), integer("n_elements", n_elements, 1)
    generator = np.random.default_rng(seed)
    squares = shape[0] * shape[1] / min(shape) ** 2
    maps, density = np.zeros((n_elements, *shape)), np.zeros(shape)
    for _ in range(max(3, round(8 * squares))):
        _add_cell(maps, density, generator)
    for e in range(n_elements):
        maps[e] = 0.6 * np.minimum(maps[e], 1) * (0.5 + 0.5 * _texture(shape, 1.3, generator))
    real_part = 1 - 0.5 * np.minimum(density, 1) * (0.6 + 0.4 * _texture(shape, 1.8, generator))
    for e in range(n_elements):
        for _ in range(max(3, round(24 * squares / np.sqrt(n_elements)))):
            _add_particle(maps[e], real_part, generator)
    return _assemble(real_part, maps)


def _add_cell(maps: NDArray, density: NDArray, generator: np.random.Generator) -> None:
    """Add a body with its nucleus and its membrane at a random place."""
    shape, n_elements = density.shape, len(maps)
    centre = generator.uniform(0, 1, 2) * shape
    axes = generator.uniform(0.09, 0.2, 2) * min(shape)
    shares = generator.uniform(0.1, 0.5, n_elements)
    box, distance = _ellipse(shape, centre, axes, generator.uniform(0, np.pi), 1.6)
    body = 1 / (1 + np.exp(np.clip((distance - 1) / 0.06, -50, 50)))
    # the nucleus is off the middle of the body, the membrane lies along its edge
    offset = centre + generator.uniform(-0.2, 0.2, 2) * axes.min()
    inner, inner_distance = _ellipse(shape, offset, 0.45 * axes, generator.uniform(0, np.pi), 1.6)
    nucleus = 1 / (1 + np.exp(np.clip((inner_distance - 1) / 0.05, -50, 50)))
    membrane = np.exp(-0.5 * ((distance - 0.95) / 0.06) ** 2)
    density[box] += 0.5 * body
    density[inner] += 0.3 * nucleus
    for e in range(n_elements):
        maps[e][box] += shares[e] * body
        if e % 3 == 1 or n_elements == 1:
            maps[e][inner] += 0.5 * nucleus
        if e % 3 == 2:
            maps[e][box] += 0.5 * membrane


def _add_particle(map_: NDArray, real_part: NDArray, generator: np.random.Generator) -> None:
    """Add a particle with hard edges at a random place."""
    shape = real_part.shape
    centre = generator.uniform(0, 1, 2) * shape
    axes = np.maximum(generator.uniform(0.01, 0.035, 2) * min(shape), 1.0)
    box, distance = _ellipse(shape, centre, axes, generator.uniform(0, np.pi), 1.0)
    particle = distance < 1
    map_[box] += generator.uniform(0.25, 0.6) * particle
    real_part[box] -= generator.uniform(0.1, 0.4) * particle
