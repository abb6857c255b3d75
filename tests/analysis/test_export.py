import h5py
import numpy as np
import pytest

import ptyxrf
from ptyxrf.driver.command.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a scan and a result whose object is the true one with a ramp."""
    folder = tmp_path_factory.mktemp("export")
    scan = ptyxrf.simulate(n=44, m=16, per_side=7, elements=2, photons=300.0)
    result = ptyxrf.reconstruct(scan, max_sweeps=4.0, refine_probe=True)
    ramp = np.exp(0.3j * np.arange(44))
    object = (scan.truth["object"] * ramp).astype(np.complex64)
    result = result.replaced(object=object)
    ptyxrf.write_scan(folder / "s.h5", scan)
    ptyxrf.write_result(folder / "s-result.h5", result, scan)
    return folder


def test_npz_has_amplitude_and_flat_phase(folder):
    assert main(["export", str(folder / "s-result.h5"), "--to", "npz"]) == 0
    scan, result = ptyxrf.read_scan(folder / "s.h5"), ptyxrf.read_result(folder / "s-result.h5")
    with np.load(folder / "s-result-export.npz") as arrays:
        area = arrays["amplitude"] > 0
        assert np.allclose(arrays["amplitude"][area], abs(result.object)[area])
        # the ramp, 0.3 rad a column, is gone
        assert abs(np.diff(arrays["phase_rad"], axis=1)[area[:, 1:] & area[:, :-1]].mean()) < 0.02
        assert arrays["element_names"].tolist() == scan.element_names
        assert float(arrays["pixel_size_m"]) == pytest.approx(scan.pixel_size)
        assert np.allclose(arrays["positions_pixels"], scan.positions)
    table = np.loadtxt(folder / "s-result-positions.csv", delimiter=",", skiprows=1)
    assert np.allclose(table[:, :2], scan.positions)
    assert np.allclose(table[:, 2], (scan.positions[:, 0] + 8 - 22) * scan.pixel_size)


def test_the_map_of_the_matrix(folder, tmp_path):
    result = ptyxrf.read_result(folder / "s-result.h5")
    matrix = np.arange(44.0 * 44).reshape(44, 44)
    ptyxrf.write_result(tmp_path / "r.h5", result.replaced(matrix=matrix))
    ptyxrf.export_result(tmp_path / "r.h5", "npz")
    with np.load(tmp_path / "r-export.npz") as arrays:
        assert arrays["element_names"].tolist()[-1] == "matrix"
        np.testing.assert_array_equal(arrays["elements"][-1], matrix)
        np.testing.assert_array_equal(arrays["elements"][:-1], result.elements)


def test_tiff(folder):
    tifffile = pytest.importorskip("tifffile")
    assert main(["export", str(folder / "s-result.h5")]) == 0
    result, scan = ptyxrf.read_result(folder / "s-result.h5"), ptyxrf.read_scan(folder / "s.h5")
    for e, name in enumerate(scan.element_names):
        path = folder / f"s-result-{name}.tif"
        assert np.allclose(tifffile.imread(path), result.elements[e].astype(np.float32))
    with tifffile.TiffFile(folder / "s-result-amplitude.tif") as file:
        assert file.imagej_metadata["unit"] == "um"
        over, under = file.pages[0].tags["XResolution"].value
        assert under / over == pytest.approx(scan.pixel_size * 1e6, rel=1e-3)


def test_ptyr(folder):
    assert main(["export", str(folder / "s-result.h5"), "--to", "ptyr"]) == 0
    scan = ptyxrf.read_scan(folder / "s.h5")
    with h5py.File(folder / "s-result.ptyr") as file:
        assert file["header/kind"].asstr()[()] == "minimal"  # without which PtyPy takes nothing of it
        storage = file["content/obj/S00G00"]
        assert storage["data"].shape == (1, 44, 44)
        # PtyPy: pixel = (position - origin) / psize
        centre = (file["content/positions/S00G00"][...] - storage["_origin"][...]) / storage["_psize"][...]
        assert np.allclose(centre, scan.positions + 8)
        assert storage["_energy"][()] == pytest.approx(8.8)


def test_ptychodus(folder):
    assert main(["export", str(folder / "s-result.h5"), "--to", "ptychodus"]) == 0
    scan = ptyxrf.read_scan(folder / "s.h5")
    with h5py.File(folder / "s-result-product.h5") as file:
        attributes = file["object"].attrs
        for axis, name, k in (("y", "height", 0), ("x", "width", 1)):
            pixel = file[f"probe_position_{axis}_m"][...] - attributes[f"center_{axis}_m"]
            pixel = pixel / attributes[f"pixel_{name}_m"] + file["object"].shape[1 + k] / 2
            assert np.allclose(pixel - 8, scan.positions[:, k])
        assert file.attrs["probe_energy_eV"] == pytest.approx(8800)


def test_bad_input(folder, capsys):
    assert main(["export", str(folder / "s.h5"), "--to", "npz"]) == 2
    assert main(["export", str(folder / "s-result.h5"), "--to", "jpeg"]) == 2
    assert capsys.readouterr().err.count("ptyxrf: error: ") == 2
