"""Counts of elements in the spectra of a fluorescence detector: sums over regions around their lines."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.preparation.input_files import NamedArray

#: Spectra that are read at a time.
BLOCK_BYTES = 1 << 25
#: An element, perhaps with the shell of its line: Fe, Pt_L.
LINE = re.compile(r"([A-Z][a-z]?)(?:[ _-]?([KLM])(?:a\d?)?)?")


def energy_of_line(name: str, beam_eV: float) -> float:
    """Return the energy of the strongest lines of a shell, by their strengths, in electronvolts.

    Parameters
    ----------
    name : str
        Such as "Fe_K", "Pt-L"; of a symbol alone the innermost shell that the beam excites.
    beam_eV : float
        Photon energy of the beam.

    Raises
    ------
    ValueError
        It is no such name, or the beam does not excite the shell.
    """
    import xraydb  # takes most of a second

    found = LINE.fullmatch(name)
    for shell, edge in (("K", "K"), ("L", "L3"), ("M", "M5")):
        if found is None or found[2] not in (None, shell):
            continue
        try:
            excited = xraydb.xray_edge(found[1], edge)
            line = xraydb.xray_line(found[1], f"{shell}a")
        except ValueError:
            break
        if excited is not None and line is not None and excited.energy < beam_eV:
            return float(line.energy)
    raise ValueError(
        f"elements: expected names such as Fe, Fe_K or Pt_L, of lines that a beam of {beam_eV / 1e3:.4g} keV "
        f"excites, got {name!r}"
    )


def counts_of_lines(
    spectra: NamedArray, lines: list[float], bin_eV: float, region_eV: float
) -> NDArray[np.float64]:
    """Return the counts within regions around lines.

    Parameters
    ----------
    spectra : NamedArray
        (N, channels) or (N, elements of the detector, channels), which are added.
    lines : list of float
        Energies in electronvolts.
    bin_eV : float
        Width of a channel; the first one begins at 0.
    region_eV : float
        Width of a region.

    Returns
    -------
    (N_e, N) array of float64

    Raises
    ------
    ValueError
        The array has no spectra, or a region is beyond them.
    """
    shape = spectra.shape
    if len(shape) not in (2, 3) or spectra.values.dtype.kind not in "fiu":
        raise ValueError(
            f"spectra: expected (N, channels) or (N, elements, channels) in {spectra.reference}, got {shape}"
        )
    regions = []
    for line in lines:
        first, last = (round((line + half) / bin_eV) for half in (-region_eV / 2, region_eV / 2))
        if not 0 <= first < last <= shape[-1]:
            raise ValueError(
                f"spectra: expected {line:.0f} eV within {shape[-1]} channels of {bin_eV:g} eV, got a region "
                f"from {first} to {last}"
            )
        regions.append(slice(first, last))
    counts = np.empty((len(lines), shape[0]))
    step = max(BLOCK_BYTES // max(int(np.prod(shape[1:])) * spectra.values.dtype.itemsize, 1), 1)
    for start in range(0, shape[0], step):
        block = np.asarray(spectra.values[start : start + step])
        for number, region in enumerate(regions):
            inside = block[..., region].reshape(len(block), -1)
            counts[number, start : start + step] = inside.sum(axis=1, dtype=np.float64)
    return counts
