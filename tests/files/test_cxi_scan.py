"""CXI files of other programs as beamlines have them: units, dark frames, rasters, no probe."""

import h5py
import numpy as np
import pytest
from file_examples import DETECTOR, write_foreign
from scan_examples import example_scan, same_array

from ptyxrf.driver.files.scan_file import read_scan, write_scan

SOURCE = "/entry_1/instrument_1/source_1"


def with_unit(path, name, factor, unit):
    with h5py.File(path, "r+") as file:
        values = file[name][()] * factor
        del file[name]
        file[name] = values
        file[name].attrs["units"] = unit


@pytest.mark.parametrize(
    ("name", "factor", "unit"),
    [
        (f"{SOURCE}/energy", 1 / 1.602176634e-16, "keV"),
        (f"{SOURCE}/energy", 1 / 1.602176634e-19, b"eV"),
        (f"{DETECTOR}/distance", 1e2, "cm"),
        ("/entry_1/data_1/translation", 1e9, np.array(["nm"], object)),
    ],
)
def test_units(tmp_path, name, factor, unit):
    scan, path = example_scan(sampling=None), tmp_path / "scan.cxi"
    write_foreign(path, scan)
    with_unit(path, name, factor, unit)
    back = read_scan(path)
    assert back.pixel_size == pytest.approx(scan.pixel_size, rel=1e-9)
    np.testing.assert_allclose(back.positions, scan.positions - scan.positions.min(axis=0), atol=1e-8)
    with_unit(path, name, 1.0, "furlong")
    with pytest.raises(ValueError, match=r"expected a unit among .*, got 'furlong'"):
        read_scan(path)


def test_dark_frames_are_the_background_and_a_monitor_the_exposure(tmp_path):
    scan, path = example_scan(sampling=None), tmp_path / "scan.cxi"
    dark = np.random.default_rng(1).poisson(20.0, (2, 3, 12, 12))
    beam = 4e4 + 1e3 * np.arange(scan.N)
    changes = {f"{DETECTOR}/darkfield": dark, "/entry_1/instrument_1/monitor/data": beam}
    write_foreign(path, scan, **changes)
    back = read_scan(path)
    np.testing.assert_allclose(back.pattern_background, dark.mean(axis=(0, 1)))
    np.testing.assert_allclose(back.exposure, beam / beam.mean())


def test_a_monitor_that_cannot_be_the_exposure(tmp_path):
    """It is named, not left out: without it each pattern would have the same exposure."""
    scan, path, name = (
        example_scan(sampling=None),
        tmp_path / "scan.cxi",
        "/entry_1/instrument_1/monitor/data",
    )
    write_foreign(path, scan, **{name: np.ones(scan.N, complex)})
    with pytest.raises(ValueError, match="monitor/data: expected real numbers, got complex128"):
        read_scan(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink("moved.h5", "/monitor")
    with pytest.raises(ValueError, match=r"monitor/data: .* link to /monitor in moved\.h5"):
        read_scan(path)


def test_a_raster_with_two_axes(tmp_path):
    """NXcxi_ptycho has (npts_x, npts_y, H, W), and the axes of the raster once."""
    scan, path = example_scan(sampling=None), tmp_path / "scan.nxs"
    patterns = scan.patterns.reshape(3, 4, 12, 12)
    x, y = -1e-8 * np.array([0.0, 30, 60]), -1e-8 * np.array([0.0, 20, 41, 60])
    write_foreign(path, scan, **{"/entry_1/data_1/data": patterns, "/entry_1/data_1/translation": None})
    with h5py.File(path, "r+") as file:
        file["entry_1/data/x"], file["entry_1/data/y"] = x, y
    back = read_scan(path)
    assert back.patterns.shape == scan.patterns.shape
    for key in ([0, 3, 4, 5, 11], slice(2, 9), 7, [5, 1]):
        assert same_array(back.patterns[key], scan.patterns[key]), key
    columns = np.repeat(-x, 4) / scan.pixel_size
    np.testing.assert_allclose(back.positions[:, 1], columns, atol=1e-9)
    np.testing.assert_allclose(back.positions[:, 0], np.tile(-y, 3) / scan.pixel_size, atol=1e-9)


def test_no_probe(tmp_path):
    scan, path = example_scan(sampling=None), tmp_path / "scan.cxi"
    write_foreign(path, scan, probe="/elsewhere")
    back = read_scan(path)
    assert not back.probe_known and back.probe.shape == (1, 12, 12)
    counts = scan.patterns.sum(axis=(1, 2)).mean()
    assert np.sum(np.abs(back.probe) ** 2) == pytest.approx(counts, rel=1e-9)
    write_scan(tmp_path / "own.h5", back)
    again = read_scan(tmp_path / "own.h5")
    assert not again.probe_known and not again.select("0:6").probe_known
    assert again.replace(probe=scan.probe).probe_known and not again.probe_found
    write_scan(tmp_path / "found.h5", back.replace(probe=scan.probe, probe_found=True))
    found = read_scan(tmp_path / "found.h5")
    assert found.probe_known and found.probe_found and same_array(found.probe, scan.probe)


@pytest.mark.parametrize("turn", [np.eye(2), -np.eye(2), [[0, 1], [-1, 0]], [[0.6, 0.8], [-0.8, 0.6]]])
@pytest.mark.parametrize("as_columns", [False, True])
def test_rows_and_columns_run_along_the_detector(tmp_path, turn, as_columns):
    """The probe moves against the sample, by so many steps of the basis, which is that of cdtools."""
    scan, path = example_scan(sampling=None), tmp_path / "scan.cxi"
    turn = np.array(turn, float)  # (row, column) of the detector by (y, x)
    y, x = -(scan.positions @ turn).T * scan.pixel_size
    basis = np.pad(turn[:, ::-1] * scan.geometry.detector_pixel, ((0, 0), (0, 1)))
    changes = {"/entry_1/data_1/translation": np.stack([x, y, 0 * x], axis=1),
               f"{DETECTOR}/basis_vectors": basis.T if as_columns else basis}  # fmt: skip
    write_foreign(path, scan, **changes)
    expected = scan.positions - scan.positions.min(axis=0)
    np.testing.assert_allclose(read_scan(path).positions, expected, atol=1e-8)
    for wrong in (0 * basis, basis[[0, 0]], 1e308 * basis[[0, 0]]):
        write_foreign(path, scan, **changes | {f"{DETECTOR}/basis_vectors": wrong})
        with pytest.raises(ValueError, match="basis_vectors: expected vectors that span a plane"):
            read_scan(path)
