"""Fluorescence maps of MAPS files: what is read, and how it comes onto positions."""

import foreign_maps
import h5py
import numpy as np
import pytest
from file_examples import write_maps
from scan_examples import GEOMETRY, example_scan

from ptyxrf.driver.command.reconstruct import scan_with_maps
from ptyxrf.driver.command.tables import Sources
from ptyxrf.driver.data.count_maps import attach_maps
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.scan_file import write_scan


def raster(rows, columns, step, *, geometry=GEOMETRY, snake=False, m=8):
    """Return a raster scan with steps in metres."""
    pixels = step / geometry.pixel_size(m)
    lines = [[(i * pixels, j * pixels) for j in range(columns)] for i in range(rows)]
    if snake:
        lines = [line[::-1] if i % 2 else line for i, line in enumerate(lines)]
    positions = np.array([point for line in lines for point in line])
    return Scan(np.ones((len(positions), m, m)), positions, np.ones((m, m)), geometry=geometry)


def test_measured_file(shared_data):
    path = shared_data("axo_std_maps_v9.h5")
    maps = read_maps(path)
    assert maps.counts.shape == (23, 11, 11) and maps.element_names[7] == "Ca"
    assert maps.x[0] == pytest.approx(5.475e-3, abs=1e-8) and maps.y[0] == pytest.approx(13.83e-3, abs=1e-8)
    np.testing.assert_allclose(np.diff(maps.x), 10e-6, rtol=1e-5)
    with h5py.File(path) as file:
        fits, regions = file["/MAPS/XRF_fits"][()], file["/MAPS/XRF_roi"][()]
        scalers = dict(zip(file["/MAPS/scaler_names"].asstr()[()], file["/MAPS/scalers"][()], strict=True))
    # four elements of the detector, over which the rates are averaged
    live = 4 * scalers["ELT1"]
    assert "x 4 elements" in maps.notes[0]
    np.testing.assert_allclose(maps.counts[[7, 21]], fits[[7, 21]] * live, rtol=1e-12)
    pair = read_maps(path, ["Fe", "Ca"], fits=False)
    np.testing.assert_allclose(pair.counts, regions[[11, 7]] * live, rtol=1e-4)
    assert np.array_equal(pair.exposure(), scalers["us_ic"] * scalers["ELT1"])

    scan = raster(11, 11, 40e-9)
    joined = attach_maps(scan, pair)
    assert joined.sampling == "scan" and joined.element_names == ["Fe", "Ca"]
    assert np.array_equal(joined.fluorescence, pair.counts.reshape(2, 121))
    beam = scalers["us_ic"].ravel()
    np.testing.assert_allclose(joined.exposure, beam / beam.mean())
    seen = beam * scalers["ELT1"].ravel()
    np.testing.assert_allclose(joined.fluorescence_exposure, seen / seen.mean())
    with pytest.raises(ValueError, match=r"has no 'Au'; it has Al, Si"):
        read_maps(path, ["Au"])


def test_counts_of_measured_files_are_whole(shared_data):
    """Rates become whole numbers, where the live time was not rounded too much."""
    for name, elements, least in (
        ("axo_std_maps_v9.h5", ["K", "S", "Zn"], 0.95),
        ("bnp_cells_maps_v9.h5", ["Fe", "Cu", "Zn", "S", "K"], 0.995),
    ):
        counts = read_maps(shared_data(name), elements, fits=False).counts
        assert counts.max() > 20
        for one in counts:
            assert np.mean(one == np.rint(one)) >= least, name
        wrong = read_maps(shared_data(name), elements, fits=False, detectors=3).counts
        assert np.mean(wrong == np.rint(wrong)) < 0.9


def test_units_of_axes(tmp_path, shared_data):
    path = shared_data("bnp_cells_maps_v9.h5")
    assert np.diff(read_maps(path, ["Fe"], axis_unit="um").x).mean() == pytest.approx(100e-9, rel=1e-3)
    write_maps(tmp_path / "maps.h5")
    with h5py.File(tmp_path / "maps.h5", "r+") as file:
        file["MAPS/x_axis"].attrs["units"] = "nm"
    maps = read_maps(tmp_path / "maps.h5", ["Fe"])
    assert maps.x[1] == pytest.approx(1e-12) and maps.y[1] == pytest.approx(1e-6)
    with pytest.raises(ValueError, match="axis_unit: expected a unit of length such as um, got 'keV'"):
        read_maps(path, axis_unit="keV")


def test_version_10(tmp_path):
    counts = np.random.default_rng(2).poisson(20.0, (2, 5, 6))
    path = foreign_maps.maps_version_10(
        tmp_path, counts, ("Fe", "Cu"), np.arange(5.0), np.arange(6.0), fitted=counts + 0.3
    )
    maps = read_maps(path)
    assert maps.element_names == ["Fe", "Cu"] and "x 4 elements" in maps.notes[0]
    np.testing.assert_allclose(maps.counts, counts + 0.3, rtol=1e-9)
    assert np.array_equal(read_maps(path, fits=False).counts[1], counts[1])
    assert np.array_equal(maps.exposure(), 1e5 * foreign_maps.live_times((5, 6)))
    with pytest.raises(ValueError, match="no such analysis in the file; it has NNLS, ROI"):
        read_maps(path, fits="SVD")


def test_channels_that_are_no_elements(tmp_path):
    """Where nobody names elements, those of the file are taken; its other channels are told."""
    counts = np.random.default_rng(2).poisson(20.0, (2, 3, 4))
    axes = 20e-9 * np.arange(3), 20e-9 * np.arange(4)
    maps = read_maps(foreign_maps.maps_version_9(tmp_path, counts, ("Fe", "Pt_L"), *axes))
    assert maps.element_names == ["Fe", "Pt_L", "TFY"]
    some = maps.of_elements()
    assert some.element_names == ["Fe", "Pt_L"] and np.array_equal(some.counts, counts)
    assert some.notes[-1] == "channels that are no elements, left out: TFY"
    assert some.of_elements() is some and maps.of(["TFY"]).of_elements().element_names == ["TFY"]
    write_scan(tmp_path / "scan.h5", raster(3, 4, 20e-9))
    joined = scan_with_maps(str(tmp_path / "scan.h5"), Sources(maps=str(tmp_path / "maps9.h5")), check=False)
    assert joined.element_names == ["Fe", "Pt_L"]


def test_scalers_of_several_beamlines(tmp_path):
    for names in (("ds_ic", "US_IC", "ERT1", "elt1"), ("DS-IC", "us_ic", "real time", "Live Time")):
        maps = read_maps(write_maps(tmp_path / "maps.h5", scalers=names))
        values = list(maps.scalers.values())
        assert np.array_equal(maps.exposure(), values[1] * values[3])
        assert np.array_equal(maps.exposure("ds_ic", names[2]), values[0] * values[2])
    with pytest.raises(ValueError, match=r"ion chamber: .* has no scaler i9; it has DS-IC, us_ic"):
        maps.exposure("i9")


def test_missing_scalers_are_named(tmp_path):
    scan = raster(3, 4, 20e-9)
    maps = read_maps(write_maps(tmp_path / "maps.h5", scalers=("SRcurrent", "ELT1")))
    with pytest.raises(ValueError, match=r"ion chamber: .* us_ic or .*; it has SRcurrent, ELT1"):
        attach_maps(scan, maps)
    joined = attach_maps(scan, maps, exposure=False)
    assert np.array_equal(joined.exposure, scan.exposure)
    path = write_maps(tmp_path / "maps.h5", scalers=())
    with pytest.raises(ValueError, match=r"live time: .* has no scaler"):
        read_maps(path)  # the rate of TFY cannot be undone
    assert read_maps(path, ["Fe"]).scalers == {}


def test_counts_replace_simulated_maps(tmp_path):
    scan = example_scan()
    maps = read_maps(write_maps(tmp_path / "maps.h5"))
    joined = attach_maps(scan, maps, ["Cu"], attenuation=[0.25])
    assert joined.fluorescence.shape == (1, 12) and joined.units == "counts"
    assert joined.attenuation.tolist() == [0.25] and joined.sensitivity.tolist() == [1.0]
    assert joined.fluorescence_count_scale.tolist() == [1.0]
    assert set(joined.truth) == {"object", "probe"}
    assert joined.geometry == scan.geometry and np.array_equal(joined.positions, scan.positions)
    with pytest.raises(ValueError, match="has no 'Zn'; it has Fe, Cu, TFY"):
        attach_maps(scan, maps, ["Zn"])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_points_without_counts_or_exposure_are_left_out(tmp_path, value):
    """A map of NaN is of an element without data."""
    scan, maps = example_scan(sampling=None), read_maps(write_maps(tmp_path / "maps.h5"))
    maps.counts[1, 1, 2] = value
    maps.scalers["us_ic"][2, 3] = 0.0
    with pytest.warns(UserWarning, match="2 of 12 positions have no counts or no exposure"):
        joined = attach_maps(scan, maps, ["Fe", "Cu"])
    lost = np.isnan(joined.fluorescence).all(axis=0)
    assert np.flatnonzero(lost).tolist() == [6, 11] and (joined.fluorescence_exposure > 0).all()
    maps.counts[1] = np.nan
    maps.scalers["us_ic"][2, 3] = 1.0
    assert np.isnan(attach_maps(scan, maps, ["Fe", "Cu"]).fluorescence[1]).all()


def test_a_larger_map_needs_an_origin(tmp_path):
    """Lines that were never measured do not make a map larger."""
    step = 20e-9
    axis = np.arange(9) * step * 1e3
    path = write_maps(tmp_path / "maps.h5", shape=(6, 9), x=axis, y=axis[:6])
    scan = raster(3, 4, step)
    maps = read_maps(path, ["Fe"])
    with pytest.raises(ValueError, match="origin: expected the place of the scan on the map, whose y covers"):
        attach_maps(scan, maps)
    joined = attach_maps(scan, maps, origin=(2 * step, 3 * step))
    assert np.array_equal(joined.fluorescence[0], maps.counts[0, 2:5, 3:7].ravel())
    for array in (maps.counts[0], *maps.scalers.values()):
        array[:2], array[5:], array[:, :3], array[:, 7:] = 0, 0, 0, 0
    assert np.array_equal(attach_maps(scan, maps).fluorescence[0], joined.fluorescence[0])


def test_order_is_not_assumed_for_a_snake(tmp_path):
    step = 20e-9
    axis = 1e-3 + np.arange(4) * step * 1e3
    path = write_maps(tmp_path / "maps.h5", x=axis, y=axis[:3])
    maps = read_maps(path, ["Fe"])
    snake = raster(3, 4, step, snake=True)
    with pytest.raises(ValueError, match="same direction"):
        attach_maps(snake, maps)
    expected = maps.counts[0].copy()
    expected[1] = expected[1, ::-1]
    for match in ("nearest", "bilinear"):
        joined = attach_maps(snake, maps, match=match)
        np.testing.assert_allclose(joined.fluorescence[0], expected.ravel(), rtol=1e-9)
    with pytest.raises(ValueError, match="expected 8 points"):
        attach_maps(raster(2, 4, step), maps, match="order")
    with pytest.raises(ValueError, match="match: expected one of order, nearest, bilinear"):
        attach_maps(snake, maps, match="cubic")


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_coordinates(tmp_path, falling, flip):
    """A map that is linear in x and y is known between its samples."""
    step = 20e-9
    x, y = 5e-3 + np.arange(9) * 13e-9, 7e-3 + np.arange(8) * 11e-9
    if falling:
        x, y = x[::-1], y[::-1]
    plane = 3 + (y[:, None] - 7e-3) / 1e-9 + 0.5 * (x[None] - 5e-3) / 1e-9
    counts = np.stack([plane] * 3)
    path = write_maps(tmp_path / "maps.h5", shape=(8, 9), x=x * 1e3, y=y * 1e3, counts=counts, unit=b"cts")
    maps = read_maps(path, ["Fe"])
    scan = raster(3, 4, step)
    metres = scan.positions * scan.pixel_size
    if flip:
        metres[:, 1] = np.ptp(x) - metres[:, 1]
    expected = 3 + metres[:, 0] / 1e-9 + 0.5 * metres[:, 1] / 1e-9
    origin = (y.min(), x.max() if flip else x.min())
    joined = attach_maps(scan, maps, flip_columns=flip, match="bilinear", origin=origin)
    np.testing.assert_allclose(joined.fluorescence[0], expected, rtol=1e-6)
    nearest = attach_maps(scan, maps, flip_columns=flip, origin=origin)
    assert set(nearest.fluorescence[0]) <= set(maps.counts[0].ravel())
    assert np.abs(nearest.fluorescence[0] - expected).max() <= 5.5 + 0.5 * 6.5 + 1e-6
    with pytest.raises(ValueError, match="expected positions inside the map, whose x"):
        attach_maps(scan, maps, origin=(7e-3, 5e-3 + (-60e-9 if flip else 60e-9)), flip_columns=flip)


def test_coordinates_need_a_geometry(tmp_path):
    maps = read_maps(write_maps(tmp_path / "maps.h5", shape=(5, 5)), ["Fe"])
    with pytest.raises(ValueError, match="geometry: expected one"):
        attach_maps(example_scan(geometry=None), maps)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "maps.h5"
    for name in ("XRF_fits", "channel_names", "channel_units", "x_axis", "y_axis", "scaler_names"):
        write_maps(path)
        with h5py.File(path, "a") as file:
            del file[f"MAPS/{name}"]
        with pytest.raises(ValueError, match=rf"maps\.h5: /MAPS/{name}: no such dataset"):
            read_maps(path)
    write_maps(path, x=np.arange(7.0))
    with pytest.raises(ValueError, match="x_axis: expected 4 numbers"):
        read_maps(path)
    with pytest.raises(ValueError, match=r"/MAPS/XRF_other: no such dataset in the file; it has XRF_fits"):
        read_maps(path, fits="XRF_other")
    with h5py.File(path, "w") as file:
        file["a"] = 1
    with pytest.raises(
        ValueError,
        match=r"none of the known formats \(MAPS v9.*it has a\. ptyxrf prepare",
    ):
        read_maps(path)
