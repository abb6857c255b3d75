"""Fluorescence maps of MAPS files: what is read, and how it comes onto positions."""

import h5py
import numpy as np
import pytest
from file_examples import write_maps
from scan_examples import GEOMETRY, example_scan

from ptyxrf.driver.data.count_maps import attach_maps
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.maps_file import read_maps


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
    assert np.array_equal(maps.counts[7], fits[7])
    # "TFY" is a rate in this file, the elements are not.
    assert np.array_equal(maps.counts[21], fits[21] * scalers["ELT1"])
    pair = read_maps(path, ["Fe", "Ca"], fits=False)
    assert np.array_equal(pair.counts, regions[[11, 7]])
    assert np.array_equal(pair.exposure(), scalers["us_ic"] * scalers["ELT1"])

    scan = raster(11, 11, 40e-9)
    joined = attach_maps(scan, pair)
    assert joined.sampling == "scan" and joined.element_names == ["Fe", "Ca"]
    assert np.array_equal(joined.fluorescence, regions[[11, 7]].reshape(2, 121))
    assert joined.exposure.mean() == pytest.approx(1)
    np.testing.assert_allclose(
        joined.exposure * (scalers["us_ic"] * scalers["ELT1"]).mean(),
        (scalers["us_ic"] * scalers["ELT1"]).ravel(),
    )
    with pytest.raises(ValueError, match=r"channel_names: no 'Au'; it has Al, Si"):
        read_maps(path, ["Au"])


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
def test_counts_that_are_not_finite_are_named(tmp_path, value):
    """With the file and the element; a map of NaN is of an element without data."""
    scan, maps = example_scan(), read_maps(write_maps(tmp_path / "maps.h5"))
    maps.counts[1, 1, 2] = value
    message = (
        r"fluorescence: .* in .*maps.h5 XRF_fits \(or NaN everywhere.*, got (nan|-inf) for Cu at position"
    )
    with pytest.raises(ValueError, match=message):
        attach_maps(scan, maps, ["Fe", "Cu"])
    maps.counts[1] = np.nan
    assert np.isnan(attach_maps(scan, maps, ["Fe", "Cu"]).fluorescence[1]).all()


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
    path = write_maps(tmp_path / "maps.h5", shape=(8, 9), x=x * 1e3, y=y * 1e3, counts=counts)
    maps = read_maps(path, ["Fe"])
    scan = raster(3, 4, step)
    metres = scan.positions * scan.pixel_size
    if flip:
        metres[:, 1] = np.ptp(x) - metres[:, 1]
    expected = 3 + metres[:, 0] / 1e-9 + 0.5 * metres[:, 1] / 1e-9
    joined = attach_maps(scan, maps, flip_columns=flip, match="bilinear")
    np.testing.assert_allclose(joined.fluorescence[0], expected, rtol=1e-6)
    nearest = attach_maps(scan, maps, flip_columns=flip)
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
    with pytest.raises(ValueError, match="/MAPS: no such group"):
        read_maps(path)
