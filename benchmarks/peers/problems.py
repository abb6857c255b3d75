"""The data of the comparison, and the measures that apply to every package.

`known`: a simulated object of 334 x 334 pixels with phases up to 1 rad, 400 patterns of 64 x 64 on a raster,
a mean of 1000 counts with Poisson noise, known probe. `star`: the measured Siemens star (516 patterns of 128
x 128, sub-pixel positions), probe unknown. Every package starts from z = 1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ptyxrf

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from siemens_star import load

SPECIMENS = ("photographs", "cells")


@dataclass(frozen=True)
class Problem:
    """A problem: data in the conventions of `ptyxrf.Scan`, and the truth if it is known.

    Attributes
    ----------
    name : str
    patterns : (N, m, m) array of float32
        Counts, zero frequency at the centre.
    positions : (N, 2) array of float64
        (row, column) of the first pixel of each window.
    probe : (m, m) array of complex64
        For the unitary DFT: the true one, or the start if it is refined.
    shape : (int, int)
        Rows and columns of the object grid.
    refine_probe : bool
    truth : (n_rows, n_cols) array of complex128 or None
    border : int
        Pixels at the edge of the object that are left out of the comparison with the truth.
    """

    name: str
    patterns: NDArray[Any]
    positions: NDArray[Any]
    probe: NDArray[Any]
    shape: tuple[int, int]
    refine_probe: bool
    truth: NDArray[Any] | None = None
    border: int = 40

    def write(self, path: Path) -> None:
        """Write everything but the truth as .npz for a runner."""
        np.savez(
            path,
            patterns=self.patterns,
            positions=self.positions,
            probe=self.probe,
            shape=self.shape,
            refine_probe=self.refine_probe,
        )

    def scan(self) -> ptyxrf.Scan:
        """Return the data as a scan."""
        return ptyxrf.Scan(self.patterns, self.positions, self.probe, shape=self.shape, count_scale=1)


def _stretched(picture: NDArray[Any]) -> NDArray[Any]:
    return (picture - picture.min()) / (picture.max() - picture.min())


def specimen(kind: str, n: int) -> NDArray[np.complex128]:
    """Return an n x n object with magnitudes from 0.3 to 1 and phases from 0 to 1 rad.

    Parameters
    ----------
    kind : {"photographs", "cells"}
        photographs: two images of scikit-image (which must be installed), for magnitude and phase; cells: the
        procedural specimen of ptyxrf, which is smoother and easier.
    n : int
    """
    if kind not in SPECIMENS:
        raise ValueError(f"specimen: expected one of {', '.join(SPECIMENS)}, got {kind!r}")
    if kind == "cells":
        cells = ptyxrf.simulate("cells", n=n, per_side=1, sampling=None, m=16).truth["object"]
        first, second = cells.real, cells.imag
    else:
        try:
            from skimage import data, transform
        except ImportError:
            raise ValueError(
                "specimen: expected scikit-image to be installed for 'photographs', found it missing "
                "(pip install scikit-image, or take 'cells')"
            ) from None
        pictures = data.camera() / 255.0, data.coffee().mean(axis=-1) / 255.0
        first, second = (transform.resize(picture, (n, n), anti_aliasing=True) for picture in pictures)
    return (0.3 + 0.7 * _stretched(first)) * np.exp(1j * _stretched(second))


def ring_probe(m: int) -> NDArray[np.complex128]:
    """Return a defocused probe with a ring as its pupil, like that of a zone plate with a central stop.

    The outer radius is 0.55 of the highest frequency, the stop a quarter of that, and the defocus adds
    4 pi of phase at the outer edge.
    """
    frequency = np.fft.fftfreq(m)
    radius = np.hypot(*np.meshgrid(frequency, frequency)) / 0.275
    pupil = np.where((radius < 1) & (radius > 0.25), np.exp(4j * np.pi * radius**2), 0)
    probe = np.fft.fftshift(np.fft.ifft2(pupil))
    return probe / np.abs(probe).max()


def known(
    kind: str = "photographs", n: int = 334, per_side: int = 20, m: int = 64, border: int = 40
) -> Problem:
    """Simulate the problem with a known probe.

    Parameters
    ----------
    kind : str
        See `specimen`.
    n : int
        Edge of the object.
    per_side : int
        Positions along rows and columns, at whole pixels.
    m : int
        Edge of a pattern.
    border : int
        See `Problem`.
    """
    truth, probe = specimen(kind, n), ring_probe(m)
    places = np.round(np.linspace(0, n - m, per_side)).astype(int)
    positions = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
    waves = np.stack([probe * truth[r : r + m, c : c + m] for r, c in positions])
    intensities = np.abs(np.fft.fft2(waves, norm="ortho")) ** 2
    scale = 1000 / intensities.mean()
    counts = np.random.default_rng(0).poisson(scale * intensities)
    return Problem(
        "known",
        np.fft.fftshift(counts, axes=(1, 2)).astype(np.float32),
        positions.astype(np.float64),
        (probe * np.sqrt(scale)).astype(np.complex64),
        (n, n),
        False,
        truth,
        border,
    )


def star(path: Path) -> Problem:
    """Read the Siemens star, with its probe scaled so that z = 1 explains the mean count."""
    scan = load(path)
    patterns = np.asarray(scan.patterns, dtype=np.float32)
    probe = scan.probe[0] * np.sqrt(patterns.mean() * scan.m**2 / (np.abs(scan.probe) ** 2).sum())
    # one pixel more than the windows cover: some packages round positions up
    rows, columns = (int(np.ceil(last)) + scan.m + 1 for last in scan.positions.max(axis=0))
    return Problem("star", patterns, scan.positions, probe.astype(np.complex64), (rows, columns), True)


class Judge:
    """Measure the object and probe of any package by the same objective, in double precision.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        scan = problem.scan()
        self.objective = ptyxrf.Objective(
            scan, "ptychography", precision="double", refine_probe=problem.refine_probe
        )
        self._inside = np.zeros(problem.shape, bool)
        border = problem.border
        self._inside[border:-border, border:-border] = True
        self._inside &= ptyxrf.illuminated_area(scan)
        self._power = float((np.abs(scan.probe) ** 2).sum())
        self._first_norm = 1.0
        self._first_norm = self.measure(np.ones(problem.shape), scan.probe[0])["gradient"]

    def measure(self, z: NDArray[Any], probe: NDArray[Any]) -> dict[str, float]:
        """Return the loss, the gradient norm and, if the truth is known, the aligned MSE.

        Parameters
        ----------
        z : (n_rows, n_cols) array of complex
            The object.
        probe : (m, m) array of complex
            Ignored if the probe is known.

        Returns
        -------
        dict
            "loss": Phi_p with the amplitudes divided by the root of the mean count; "gradient": its norm as
            a fraction of that of the start, with object and probe scaled so that the probe has the power of
            the start; "mse".
        """
        z = np.asarray(z, dtype=np.complex128)
        fields: dict[str, NDArray[Any]] = {}
        if self.problem.refine_probe:
            scale = np.sqrt(self._power / (np.abs(probe) ** 2).sum())
            fields["probe"], z = probe[None] * scale, z / scale
        objective = self.objective
        vector = objective.scatter(real_part=z.real, imaginary_part=z.imag, **fields)
        value, gradient = objective.value_and_gradient(vector)
        found = {
            "loss": value / objective.mean_count,
            "gradient": float(np.linalg.norm(gradient)) / self._first_norm,
        }
        if self.problem.truth is not None:
            found["mse"] = aligned_mse(z, self.problem.truth, self._inside, blind=self.problem.refine_probe)
        return found


def aligned_mse(
    values: NDArray[Any], truth: NDArray[Any], inside: NDArray[np.bool_], *, blind: bool = False
) -> float:
    """Return the mean squared error inside, after alignment (see `ptyxrf.align`)."""
    difference = ptyxrf.align(values, truth, inside, blind=blind) - truth
    return float((np.abs(difference[inside]) ** 2).mean())
