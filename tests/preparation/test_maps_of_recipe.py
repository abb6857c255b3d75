"""Maps on the positions of a scan, with their counts, live time and variances."""

import h5py
import numpy as np
import pytest
import raw_sets
from raw_sets import CENTRE, DX, M

import ptyxrf
from ptyxrf.driver.data.geometry import JOULES_PER_KEV

QUIET = {"size": M, "centre": CENTRE, "orientation": "given", "probe": "mean-pattern"}


@pytest.fixture(scope="module")
def truth():
    return raw_sets.made_truth(per_side=5)


@pytest.fixture
def prepare(tmp_path, truth):
    def run(arrays, **settings):
        raw = {
            "frames": raw_sets.raw_frames(truth.patterns, np.uint32, None),
            "positions": truth.positions * DX + 1e-4,
            "energy": raw_sets.ENERGY_KEV * JOULES_PER_KEV,
            "distance": raw_sets.DISTANCE,
            "pixel_size": raw_sets.PIXEL,
        }
        np.savez(tmp_path / "raw.npz", **raw | arrays)
        done = ptyxrf.prepare(tmp_path / "raw.npz", tmp_path / "scan.h5", **QUIET | settings)
        return ptyxrf.read_scan(done.path)

    return run


def image(truth, *, step=0.5):
    """Return axes around the scan in metres, and a map whose values are x + 100 y in micrometres."""
    high = truth.positions.max(axis=0) * DX
    y, x = (1e-4 + np.arange(-5 * DX, h + 5 * DX, step * DX) for h in high)
    return y, x, 1e6 * (x - 1e-4 + 100 * (y[:, None] - 1e-4)) + 1000


def expected(truth):
    y, x = (truth.positions * DX * 1e6).T
    return x + 100 * y + 1000


def test_elements_by_name_and_order(prepare):
    counts = np.arange(75.0).reshape(3, 25)
    scan = prepare({"c": counts}, maps="c", map_names=("Fe", "Cu", "Zn"), elements=("Zn", "Fe"),
                   attenuation=(0.5, 0.25), sensitivity=(2.0, 3.0), map_background=(1.0, 0.0))  # fmt: skip
    assert scan.element_names == ["Zn", "Fe"]
    assert np.array_equal(scan.fluorescence[...], counts[[2, 0]])
    assert scan.attenuation.tolist() == [0.5, 0.25] and scan.sensitivity.tolist() == [2.0, 3.0]
    assert scan.background.tolist() == [1.0, 0.0]


def test_positions_first(prepare):
    counts = np.arange(50.0).reshape(25, 2)
    assert np.array_equal(prepare({"c": counts}, maps="c").fluorescence[...], counts.T)


def test_maps_of_frames_that_are_left_out(prepare):
    counts = np.arange(25.0)[None]
    assert np.array_equal(
        prepare({"c": counts}, maps="c", drop=(3, 4)).fluorescence[0], np.delete(counts[0], [3, 4])
    )


@pytest.mark.parametrize("fast", ["x", "y"])
@pytest.mark.parametrize("match", ["nearest", "bilinear"])
def test_maps_with_axes(prepare, truth, fast, match):
    """Maps in the coordinates of the positions, in other units and transposed."""
    y, x, values = image(truth)
    values = values[None] if fast == "x" else values.T[None]
    scan = prepare({"c": values, "ay": y * 1e3, "ax": x * 1e6}, maps="c", map_rows="ay in mm",
                   map_columns="ax in um", map_match=match, map_fast=fast)  # fmt: skip
    tolerance = 1e-6 if match == "bilinear" else 101 * 0.26 * DX * 1e6
    assert np.allclose(scan.fluorescence[0], expected(truth), atol=tolerance, rtol=0)


def test_origin_and_flips(prepare, truth):
    """A map that runs against the positions, with an origin of its own."""
    y, x, values = image(truth)
    arrays = {"c": values[None, ::-1, ::-1], "ay": y + 1.0, "ax": x + 2.0}
    turned = [float(a.min() + a.max() - 1e-4) + more for a, more in ((y, 1.0), (x, 2.0))]
    scan = prepare(arrays, maps="c", map_rows="ay in m", map_columns="ax in m", map_match="bilinear",
                   map_origin=turned, map_flip_rows=True, map_flip_columns=True)  # fmt: skip
    assert np.allclose(scan.fluorescence[0], expected(truth), atol=1e-4, rtol=0)


def test_order_is_that_of_the_raster(prepare):
    counts = np.arange(25.0).reshape(1, 5, 5)
    scan = prepare({"c": counts}, maps="c", map_match="order")
    assert np.array_equal(scan.fluorescence[0], np.arange(25.0))


def test_rates_and_live_time(prepare):
    counts, live = np.arange(1.0, 26)[None], np.linspace(0.5, 1.5, 25)
    scan = prepare(
        {"c": counts / live, "busy": live * 1e3}, maps="c", map_values="rates", live_time="busy in ms"
    )
    assert np.allclose(scan.fluorescence[0], counts[0])
    assert np.allclose(scan.fluorescence_exposure, live / live.mean())
    scan = prepare({"c": counts}, maps="c", map_values="rates", live_time="2 s")
    assert np.allclose(scan.fluorescence[0], 2 * counts[0])


def test_dead_time_and_variances(prepare):
    counts, dead = np.arange(1.0, 51).reshape(2, 25), np.linspace(10, 50, 25)
    scan = prepare({"c": counts, "dead": dead, "v": counts * [[2.0], [3.0]]}, maps="c", dead_time="dead",
                   map_variances="v")  # fmt: skip
    assert np.allclose(scan.fluorescence[...], counts)
    assert np.allclose(scan.fluorescence_exposure, (100 - dead) / (100 - dead).mean())
    assert np.allclose(scan.fluorescence_variance[...], counts * [[2.0], [3.0]])


def test_registration_finds_a_shift(prepare, truth):
    """A map of what the patterns lack, shifted by two of its steps, comes back."""
    y, x, _ = image(truth, step=2.0)
    totals = truth.patterns.sum(axis=(1, 2))
    from scipy.interpolate import griddata

    places = truth.positions * DX + 1e-4
    grid = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    lost = griddata(places, -np.log(totals / totals.mean()), grid, method="nearest") * 1e4 + 1e4
    shift = 2 * 2.0 * DX
    arrays = {"c": lost[None], "ay": y + shift, "ax": x}
    scan = prepare(arrays, maps="c", map_rows="ay in m", map_columns="ax in m", map_register=True)
    good = np.corrcoef(scan.fluorescence[0], -np.log(totals))[0, 1]
    assert good > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"maps": "c", "elements": ("Xx",)}, "elements"),
        ({"maps": "nowhere"}, "maps"),
        ({"maps": "c", "map_values": "rates"}, "live_time"),
        ({"maps": "c", "dead_time": "positions"}, "dead_time"),
        ({"maps": "c", "map_variances": "energy"}, "map_variances"),
        ({"maps": "c", "map_names": ("a", "b")}, "maps"),
        ({"maps": "c", "map_match": "nearest"}, "maps"),
    ],
)
def test_errors_name_the_setting(prepare, settings, message):
    counts = np.arange(25.0)[None]
    with pytest.raises(ValueError, match=f"^{message}"):
        prepare({"c": counts}, **settings)


def test_maps_in_a_file_of_their_own(prepare, truth, tmp_path):
    """A MAPS file among the files: counts, axes and scalers are its own."""
    y, x, values = image(truth)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file["MAPS/XRF_fits"] = np.rint(values)[None]
        file["MAPS/channel_names"] = np.array([b"Fe"])
        file["MAPS/channel_units"] = np.array([[b"counts"]] * 3)
        file["MAPS/y_axis"], file["MAPS/x_axis"] = y * 1e3, x * 1e3
        file["MAPS/scalers"] = np.stack(
            [np.full(values.shape, 5.0), np.linspace(1, 2, values.size).reshape(values.shape)]
        )
        file["MAPS/scaler_names"] = np.array([b"us_ic", b"ELT1"])
        file["MAPS/scaler_units"] = np.array([b"cts/s", b"s"])
    scan = prepare({}, maps=str(tmp_path / "maps.h5"))
    assert scan.element_names == ["Fe"]
    assert np.allclose(scan.fluorescence[0], expected(truth), atol=101 * 0.26 * DX * 1e6 + 0.5, rtol=0)
    assert np.ptp(scan.fluorescence_exposure) > 0.1


def test_points_without_counts_are_left_out(prepare):
    counts = np.arange(1.0, 51).reshape(2, 25)
    counts[1, 7] = np.nan
    with pytest.warns(UserWarning, match="1 of 25 positions have no counts"):
        scan = prepare({"c": counts}, maps="c")
    assert (
        np.isnan(scan.fluorescence[:, 7]).all() and np.isfinite(np.delete(scan.fluorescence[...], 7, 1)).all()
    )
