"""How much fewer photons a specimen lets out than the thin one of the model: an estimate from its maps.

The beam is weakened on its way to an atom, and the fluorescence on its way out. Materials are taken to be
mixed over the depth, and the detector to stand on the side of the beam, along its axis: then half of the
absorption acts on the mean atom. A detector at another angle sees a longer way out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.fluorescence_yields import line_absorption
from ptyxrf.driver.objective.objective import Objective


def weakening(objective: Objective, z: NDArray, elements: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """Return the part of the counts of each element that is lost, (N_e,); all ranks take part.

    Parameters
    ----------
    objective : Objective
    z : (rows, columns) array of complex
        The object on the owned pixels, 1 in vacuum.
    elements : (N_e, rows, columns) array
        Its maps. Without symbols, photon energy and tables of attenuation there is no self-absorption in it.

    Returns
    -------
    (N_e,) array of float64 or None
        None for other links than the refractive one; 0 for empty maps.
    """
    if objective.link.linear:
        return None
    scan, maps = objective.scan, elements.astype(np.float64)
    count = len(maps)
    # of the beam |z|^2 is left behind the specimen, and half of what is lost is missing for the mean atom
    beam = np.maximum(-np.log(np.maximum(np.abs(z), 1e-6)), 0.0)
    shares = np.stack([maps.sum(axis=(1, 2)), (maps * beam).sum(axis=(1, 2))])
    products = np.einsum("erc,frc->ef", maps, maps)
    sums = objective.ranks.sum(np.concatenate([shares.reshape(-1), products.reshape(-1)]))
    (mass, lost), products = sums[: 2 * count].reshape(2, count), sums[2 * count :].reshape(count, count)
    if scan.given_attenuation is None and scan.geometry is not None:  # in kg/m^2, of known elements
        absorption = line_absorption(scan.element_names, scan.geometry.energy)
        lost = lost + 0.5 * (absorption * products).sum(axis=1)
    return lost / np.where(mass > 0, mass, np.inf)
