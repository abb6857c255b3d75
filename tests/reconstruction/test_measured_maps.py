"""Measured maps on a phase specimen that they have nothing to do with: the joint fit says so.

The maps are of a thin-film standard, 11 x 11 points, without a calibration; the patterns are simulated.
"""

import numpy as np
import pytest

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate


def measured_maps(path):
    """Return a scan of a phase phantom with counts of Ca, Fe and Cu at its positions."""
    maps = read_maps(path, ["Ca", "Fe", "Cu"])
    rows, columns = maps.counts.shape[1:]
    grid = {"m": 32, "per_side": (rows, columns), "path": "raster", "overlap": 0.8}
    specimen = simulate("cells", seed=4, elements=1, sampling=None, **grid)
    rng = np.random.default_rng(4)
    phase = specimen.truth["object"].imag
    z = np.exp(1j * phase / np.abs(phase).max())
    corners = specimen.corners
    patches = np.stack([z[i : i + 32, k : k + 32] for i, k in corners])
    far = np.fft.fftshift(np.fft.fft2(patches * specimen.probe[0], norm="ortho"), axes=(1, 2))
    light = np.abs(far) ** 2
    photons = 1e5 / light.sum(axis=(1, 2)).mean()
    return Scan(
        rng.poisson(photons * light).astype(float), specimen.positions, np.sqrt(photons) * specimen.probe,
        shape=specimen.shape, count_scale=1.0, fluorescence=np.rint(maps.counts).reshape(3, -1),
        element_names=maps.element_names, truth={"object": z},
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_uncalibrated_maps_of_another_specimen(shared_data):
    scan = measured_maps(shared_data("axo_std_maps_v9.h5"))
    result = reconstruct(scan, max_sweeps=60)
    alone = reconstruct(scan, "ptychography", max_sweeps=60)
    assert result.quality.link_good is False
    assert result.quality.link.startswith("Wrong link: ")
    assert "doubt the linear link" in result.quality.link and "\n" not in result.quality.link
    np.testing.assert_array_equal(result.trusted.object, alone.object)
    assert result.trusted.quality.good
    assert result.loss > 2 * result.fallback.loss
