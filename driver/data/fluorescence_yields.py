"""How strongly elements fluoresce for one areal density: cross section, share of the shell, yield.

Elam, Ravel and Sieber's tables (Radiat. Phys. Chem. 63, 121, 2002), as `xraydb` has them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.checks import positive
from ptyxrf.driver.data.geometry import JOULES_PER_KEV

#: A symbol, perhaps followed by the line that was fitted: "Fe", "Fe_K", "Au L".
LINE = re.compile(r"([A-Z][a-z]?)(?:[ _-]?([KLM])[a-z0-9]*)?")


def line_strength(name: str, energy: float) -> float:
    """Return the fluorescence photons of a shell for each photon and unit of areal density.

    The photoelectric cross section falls by the jump ratio at each edge: what is missing below it belongs to
    that subshell, whose vacancies fluoresce with its yield. Vacancies that move between subshells (Coster and
    Kronig), absorption on the way and the efficiency of the detector are left out.

    Parameters
    ----------
    name : str
        A symbol, or with its line ("Fe_K"). Default of the line: the innermost shell that the photons reach.
    energy : float
        Of the photons, in joules.

    Returns
    -------
    float
        In cm^2/g. Ratios of it are ratios of sensitivities.

    Raises
    ------
    ValueError
        The name is no symbol, or the photons do not reach the shell.
    """
    import xraydb  # takes most of a second

    match = LINE.fullmatch(name.strip())
    electronvolts = 1e3 * positive("energy", energy, "in joules") / JOULES_PER_KEV
    try:
        symbol = match[1] if match else ""
        edges = xraydb.xray_edges(symbol)
        left = float(xraydb.mu_elam(symbol, electronvolts, kind="photo"))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"elements: expected a symbol, perhaps with its line, got {name!r}") from None
    reached = sorted(
        (edge for edge in edges.items() if edge[1].energy < electronvolts), key=lambda edge: -edge[1].energy
    )
    shell = (match[2] if match else None) or (reached[0][0][0] if reached else "K")
    strength = 0.0
    for label, edge in reached:
        missing = left * (1 - 1 / edge.jump_ratio)
        strength += missing * edge.fyield if label.startswith(shell) else 0.0
        left -= missing
    if not strength > 0:
        raise ValueError(
            f"elements: expected photons that reach the {shell} shell of {symbol}, got "
            f"{electronvolts / 1e3:.4g} keV"
        )
    return strength


def line_absorption(names: Sequence[str], energy: float) -> NDArray[np.float64]:
    """Return how much each element absorbs the strongest line of each, in m^2/kg.

    Parameters
    ----------
    names : sequence of str
        As for `line_strength`.
    energy : float
        Of the exciting photons, in joules.

    Returns
    -------
    (N_e, N_e) array of float64
        The mass attenuation coefficient of element f for the line of element e at [e, f]; 0 for lines that
        are not known.
    """
    import xraydb

    found = np.zeros((len(names), len(names)))
    matches = [LINE.fullmatch(name.strip()) for name in names]
    symbols = [match[1] if match else "" for match in matches]
    for e, match in enumerate(matches):
        try:
            lines = xraydb.xray_lines(symbols[e], excitation_energy=1e3 * energy / JOULES_PER_KEV)
        except (ValueError, KeyError, AttributeError, TypeError):
            continue
        levels = sorted({line.initial_level[0] for line in lines.values()})
        shell = (match[2] if match else None) or (levels[0] if levels else "K")
        of_shell = [line for line in lines.values() if line.initial_level.startswith(shell)]
        if of_shell:
            strongest = max(of_shell, key=lambda line: line.intensity)
            found[e] = [0.1 * float(xraydb.mu_elam(symbol, strongest.energy)) for symbol in symbols]
    return found
