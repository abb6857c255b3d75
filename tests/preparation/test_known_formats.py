"""Files of known formats in a preparation: each in its documented layout, by its path alone."""

import h5py
import numpy as np
import pytest
import raw_sets
import xraydb
from foreign_raw import eiger_master, nanomax, nsls2_style_1, spectra_of
from foreign_scans import hxn_old, ptyd
from raw_sets import CENTRE, DISTANCE, DX, ENERGY_KEV, GEOMETRY, M

import ptyxrf
from ptyxrf.driver.preparation.input_files import NamedArray
from ptyxrf.driver.preparation.spectra import counts_of_lines, energy_of_line

QUIET = {"size": M, "centre": CENTRE, "orientation": "given", "probe": "mean-pattern"}
KEV = {"energy": f"{ENERGY_KEV} keV", "distance": f"{DISTANCE} m", "detector_pixel": "75 um"}


@pytest.fixture(scope="module")
def truth():
    return raw_sets.made_truth(per_side=5)


@pytest.fixture(scope="module")
def frames(truth):
    return raw_sets.raw_frames(truth.patterns, np.uint32, 2**32 - 1)


def assert_right(scan, truth, frames_of=slice(None)):
    assert scan.geometry.energy == pytest.approx(GEOMETRY.energy, rel=1e-6)
    assert scan.pixel_size == pytest.approx(DX, rel=1e-6)
    expected = truth.positions[frames_of] - truth.positions[frames_of].min(axis=0)
    assert np.allclose(scan.positions, expected, atol=1e-3)
    good = np.asarray(scan.mask)
    assert good.mean() > 0.9
    assert np.array_equal(np.asarray(scan.patterns)[:, good], truth.patterns[frames_of][:, good])


def test_both_modalities_of_nanomax(tmp_path, truth, frames):
    lines = [xraydb.xray_line(name, "Ka").energy for name in ("Fe", "Ca")]
    counts = np.random.default_rng(3).poisson(60.0, (2, 25))
    path = nanomax(frames, truth.positions, tmp_path, spectra=spectra_of(counts, lines))
    done = ptyxrf.prepare(path, tmp_path / "s.h5", distance="1.5 m", elements=("Fe", "Ca_K"), **QUIET)
    scan = ptyxrf.read_scan(done.path)
    assert_right(scan, truth)
    assert np.allclose(scan.exposure, np.linspace(1.0, 1.2, 25) / 1.1)
    assert scan.element_names == ["Fe", "Ca_K"]
    assert np.array_equal(scan.fluorescence, counts)
    # the recipe that was found makes the same scan
    again = ptyxrf.prepare(path, tmp_path / "again.h5", settings=done.recipe)
    assert np.array_equal(ptyxrf.read_scan(again.path).fluorescence, counts)


def test_regions_that_are_not_there(tmp_path, truth):
    frames = raw_sets.raw_frames(truth.patterns, np.uint32, None)
    np.savez(tmp_path / "raw.npz", frames=frames, s=np.ones((25, 100)), positions=truth.positions * DX)
    for elements, message in ((("Pt_K",), "elements: .* got 'Pt_K'"), (("Fe",), "spectra: .* 100 channels")):
        with pytest.raises(ValueError, match=message):
            ptyxrf.prepare(
                tmp_path / "raw.npz", tmp_path / "s.h5", spectra="s", elements=elements,
                spectrum_bin="10 eV", spectrum_region="200 eV", **QUIET, **KEV,
            )  # fmt: skip
    values = np.arange(200.0).reshape(2, 100)
    counts = counts_of_lines(NamedArray(tmp_path, "s", values), [1000.0, 400.0], bin_eV=20.0, region_eV=80.0)
    assert np.array_equal(counts, [values[:, 48:52].sum(axis=1), values[:, 18:22].sum(axis=1)])
    assert energy_of_line("Pt", 2e4) == pytest.approx(xraydb.xray_line("Pt", "La").energy)


@pytest.mark.parametrize("raster", [False, True])
def test_style_1_of_nsls2(tmp_path, truth, frames, raster):
    """A stack of frames, or the raster of the scan with the ion chamber and counts of regions."""
    counts = np.arange(50.0).reshape(2, 25)
    path = nsls2_style_1(frames, truth.positions, tmp_path, counts=counts if raster else None)
    done = ptyxrf.prepare(path, tmp_path / "s.h5", distance="1.5 m", **QUIET)
    scan = ptyxrf.read_scan(done.path)
    assert_right(scan, truth)
    if raster:
        assert np.allclose(scan.exposure, np.linspace(1.0, 1.2, 25) / 1.1)
        assert np.array_equal(scan.fluorescence, counts)


def test_eiger_masters(tmp_path, truth, frames):
    """With a table of positions; a file of frames that is missing is named."""
    path = eiger_master(frames, tmp_path)
    np.savetxt(tmp_path / "places.txt", truth.positions * DX * 1e6, header="y [um] x [um]")
    recipe = {"positions": "places.txt in um", "order": "yx"} | QUIET
    done = ptyxrf.prepare([path, tmp_path / "places.txt"], tmp_path / "s.h5", **recipe)
    scan = ptyxrf.read_scan(done.path)
    assert_right(scan, truth)
    top, left = CENTRE[0] - M // 2, CENTRE[1] - M // 2
    assert not scan.mask[50 - top, 40 - left]
    assert done.recipe.saturation == 29_000
    (tmp_path / "s_data_000002.h5").unlink()
    with pytest.raises(ValueError, match=r"data_000002: .* it is a link to .* in s_data_000002\.h5"):
        ptyxrf.prepare([path, tmp_path / "places.txt"], tmp_path / "t.h5", **recipe)
    with pytest.raises(ValueError, match=r"data_000002: .*s_data_000002"):
        ptyxrf.read_scan(path)


@pytest.mark.parametrize("write", [hxn_old, ptyd])
@pytest.mark.parametrize("how", ["given", "named"])
def test_frames_through_a_reader_of_scans(tmp_path, truth, write, how):
    """A file that the recipe names, or that is given, beside another one; and again by the recipe."""
    path, _ = write(truth.perfect(), tmp_path)
    (tmp_path / "notes.txt").write_text("1 2\n3 4\n")
    given, settings = (path, {}) if how == "given" else (tmp_path / "notes.txt", {"frames": str(path)})
    calm = {"centre": (M // 2, M // 2), "size": M, "orientation": "given", "probe": "mean-pattern"}
    done = ptyxrf.prepare(given, tmp_path / "s.h5", drop=(3,), hot_pixels=False, **settings, **calm)
    scan = ptyxrf.read_scan(done.path)
    kept = np.delete(np.arange(25), 3)
    good = np.asarray(scan.mask)
    assert np.allclose(
        np.asarray(scan.patterns)[:, good], truth.patterns[kept][:, good], rtol=1e-5, atol=1e-3
    )
    assert np.allclose(scan.positions, truth.positions[kept] - truth.positions[kept].min(axis=0), atol=1e-3)
    assert scan.pixel_size == pytest.approx(DX, rel=1e-6)
    assert good[3, 7] == (write is hxn_old)
    again = ptyxrf.prepare(path, tmp_path / "again.h5", settings=done.recipe)
    assert np.array_equal(ptyxrf.read_scan(again.path).patterns[:], scan.patterns[:])


@pytest.mark.parametrize("given", ["pair", "patterns", "table"])
def test_patterns_take_positions_from_the_file_that_is_given(tmp_path, truth, given):
    """Patterns alone take those of the file beside them; a table that is given goes before it."""
    y, x = truth.positions.T * DX
    with h5py.File(tmp_path / "scan_dp.hdf5", "w") as file:
        file["dp"] = truth.patterns
    with h5py.File(tmp_path / "scan_para.hdf5", "w") as file:
        wrong = -1 if given == "table" else 1
        file["ppX"], file["ppY"] = wrong * x[None], wrong * y[None]
        file["lambda"], file["dx"] = GEOMETRY.wavelength, DX
    np.savetxt(tmp_path / "places.txt", truth.positions[:, ::-1] * DX * 1e6)
    names = {"pair": ["scan_dp.hdf5", "scan_para.hdf5"], "patterns": ["scan_dp.hdf5"],
             "table": ["scan_dp.hdf5", "places.txt"]}[given]  # fmt: skip
    more = KEV if given == "table" else {}
    calm = QUIET | {"centre": (M // 2, M // 2)}
    done = ptyxrf.prepare([tmp_path / name for name in names], tmp_path / "s.h5", **calm, **more)
    scan = ptyxrf.read_scan(done.path)
    assert np.allclose(scan.positions, truth.positions - truth.positions.min(axis=0), atol=1e-3)
    assert scan.pixel_size == pytest.approx(DX, rel=1e-6)


def test_a_file_that_its_reader_refuses(tmp_path, truth, frames):
    """Frames that are not square have no place in CXI: names tell what is there, and that is said."""
    with h5py.File(tmp_path / "odd.cxi", "w") as file:
        file["cxi_version"] = 160
        file["entry_1/data_1/data"] = frames
        file["entry_1/data_1/translation"] = np.pad(truth.positions[:, ::-1] * DX, ((0, 0), (0, 1)))
    done = ptyxrf.prepare(tmp_path / "odd.cxi", tmp_path / "s.h5", **QUIET, **KEV)
    assert_right(ptyxrf.read_scan(done.path), truth)
    assert any("not read as CXI: " in line for line in done.lines)
