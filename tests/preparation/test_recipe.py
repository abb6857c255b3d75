"""Each key of a recipe does what it says, on a scan of 25 positions without a search."""

import h5py
import numpy as np
import pytest
import raw_sets
from raw_sets import CENTRE, DX, GEOMETRY, M

import ptyxrf
from ptyxrf.driver.data.geometry import JOULES_PER_KEV
from ptyxrf.driver.preparation.settings import Preparation

TOP, LEFT = CENTRE[0] - M // 2, CENTRE[1] - M // 2
QUIET = {"size": M, "centre": CENTRE, "orientation": "given", "probe": "mean-pattern"}
#: Settings that have tests of their own elsewhere: raw sets, TIFF and text, maps, known formats.
ELSEWHERE = {
    "frames", "positions", "rows", "columns", "size", "orientation", "maps", "map_names", "spectra",
    "spectrum_bin", "spectrum_region",
}  # fmt: skip


@pytest.fixture(scope="module")
def truth():
    return raw_sets.made_truth(per_side=5)


@pytest.fixture
def prepare(tmp_path, truth):
    """Return a function that prepares clean frames, with arrays beside or in place of the usual ones."""

    def run(arrays=None, *, quiet=None, **settings):
        raw = {
            "frames": raw_sets.raw_frames(truth.patterns, np.uint32, None),
            "positions": truth.positions * DX,
            "energy": raw_sets.ENERGY_KEV * JOULES_PER_KEV,
            "distance": raw_sets.DISTANCE,
            "pixel_size": raw_sets.PIXEL,
        } | (arrays or {})
        np.savez(tmp_path / "raw.npz", **{name: value for name, value in raw.items() if value is not None})
        done = ptyxrf.prepare(tmp_path / "raw.npz", tmp_path / "scan.h5", **(quiet or QUIET) | settings)
        return done, ptyxrf.read_scan(done.path)

    return run


def frames_of(truth):
    return raw_sets.raw_frames(truth.patterns, np.uint32, None)


def patterns_of(scan):
    return np.where(scan.mask, np.asarray(scan.patterns), 0)


def keys_of_tests():
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    with open(__file__.replace("test_recipe", "test_maps_of_recipe"), encoding="utf-8") as file:
        text += file.read()
    return {key for key in Preparation.declared() if f"{key}=" in text or f'"{key}"' in text}


def test_every_key_is_tested():
    assert set(Preparation.declared()) - ELSEWHERE <= keys_of_tests()


def test_frame_index_pairs_frames_and_positions(prepare, truth):
    order = np.random.default_rng(0).permutation(25)[:20]
    _, scan = prepare({"frames": frames_of(truth)[order], "which": order}, frame_index="which")
    positions = truth.positions[order]
    assert np.allclose(scan.positions, positions - positions.min(axis=0), atol=1e-6)
    good = scan.mask
    assert np.array_equal(np.asarray(scan.patterns)[:, good], truth.patterns[order][:, good])


def test_select_and_drop(prepare, truth):
    _, scan = prepare(select="2:12:2", drop=(4,))
    assert scan.N == 4
    assert np.allclose(np.diff(scan.positions, axis=0), np.diff(truth.positions[[2, 6, 8, 10]], axis=0))


@pytest.mark.parametrize(("drop_bad", "left"), [(True, 23), (False, 25)])
def test_drop_bad(prepare, truth, drop_bad, left):
    frames = frames_of(truth)
    frames[3] = 0
    frames[9] = frames[9] // 50
    done, scan = prepare(
        {"frames": frames}, drop_bad=drop_bad, hot_pixels=False, bad_pixels=np.ravel(raw_sets.HOT)
    )
    assert left == scan.N
    assert done.dropped == ({"empty": [3], "dark": [9]} if drop_bad else {})


def test_a_flash_masks_no_pixels(prepare, truth):
    frames = frames_of(truth)
    frames[6] = 2**32 - 1
    done, scan = prepare({"frames": frames})
    assert done.dropped == {"far too bright": [6]}
    assert (~scan.mask).sum() == 2


def test_triggers_are_added(prepare, truth):
    half = np.random.default_rng(0).binomial(truth.patterns, 0.5)
    twice = raw_sets.raw_frames(
        np.stack([half, truth.patterns - half], axis=1).reshape(50, M, M), np.uint16, None
    )
    for settings in ({}, {"triggers": 2}):
        _, scan = prepare({"frames": twice}, **settings)
        good = scan.mask
        assert np.array_equal(np.asarray(scan.patterns)[:, good], truth.patterns[:, good])
    frames = twice.copy()
    frames[5] = 0
    done, scan = prepare({"frames": frames})
    assert done.dropped == {"empty": [5]}
    assert scan.exposure[2] / scan.exposure[3] == pytest.approx(0.5)


def test_amplitudes_are_squared(prepare, truth):
    _, scan = prepare({"frames": np.sqrt(frames_of(truth))}, amplitudes=True)
    assert np.allclose(patterns_of(scan), np.where(scan.mask, truth.patterns, 0), rtol=1e-5, atol=1e-5)


def test_counts_per_photon(prepare, truth):
    _, scan = prepare({"frames": frames_of(truth) * 7.5}, counts_per_photon=7.5)
    assert np.all(scan.count_scale == 7.5)


@pytest.mark.parametrize("good", [0, 1])
@pytest.mark.parametrize("given", [True, False])
def test_mask_of_either_polarity(prepare, good, given):
    mask = np.full(raw_sets.FRAME, good)
    mask[TOP + 3 : TOP + 5] = 1 - good
    settings = {"mask": "kept", "mask_good": good} if given else {"mask": "kept"}
    _, scan = prepare({"kept": mask}, **settings, hot_pixels=False)
    assert not scan.mask[3:5].any() and scan.mask.sum() == M * (M - 2)


def test_bad_pixels_by_hand(prepare):
    _, scan = prepare(bad_pixels=(TOP + 1, LEFT + 2), hot_pixels=False)
    assert np.argwhere(~scan.mask).tolist() == [[1, 2]]


def test_gap_values(prepare, truth):
    frames = frames_of(truth)
    frames[:, TOP + 7] = 1234567
    _, scan = prepare({"frames": frames}, gap_values=(1234567,), hot_pixels=False)
    assert not scan.mask[7].any() and scan.mask.sum() == M * (M - 1)


@pytest.mark.parametrize("settings", [{}, {"saturation": 2000.0}])
def test_saturation(prepare, truth, settings):
    frames = np.minimum(frames_of(truth) * 4, 2000)
    _, scan = prepare({"frames": frames}, **settings)
    assert not scan.mask[(frames[:, TOP : TOP + M, LEFT : LEFT + M] == 2000).any(axis=0)].any()
    assert scan.mask.sum() > 0.5 * M * M


def test_hot_pixels_and_dead_ones(prepare, truth):
    frames = frames_of(truth)
    frames[:, TOP + M // 2 + 5, LEFT + M // 2 + 4] = 0
    _, scan = prepare({"frames": frames})
    assert not scan.mask[M // 2 + 5, M // 2 + 4] and (~scan.mask).sum() == 3
    _, scan = prepare({"frames": frames}, hot_pixels=False)
    assert scan.mask.all()


def test_dark_and_its_uses(prepare, truth):
    dark = np.full((3, *raw_sets.FRAME), 40)
    raw = {"frames": frames_of(truth) + 40, "closed": dark}
    _, scan = prepare(raw, dark="closed")
    assert np.allclose(scan.pattern_background[scan.mask], 40.0)
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, truth.patterns + 40, 0))
    _, scan = prepare(raw, dark="closed", dark_use="subtract")
    assert scan.pattern_background is None
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, truth.patterns, 0))


def test_flat(prepare, truth):
    flat = np.random.default_rng(0).uniform(0.8, 1.2, raw_sets.FRAME)
    _, scan = prepare({"frames": frames_of(truth) * flat, "gain_map": flat}, flat="gain_map")
    ratio = patterns_of(scan).sum() / truth.patterns[:, scan.mask].sum()
    expected = np.where(scan.mask, truth.patterns, 0) * ratio
    assert np.allclose(patterns_of(scan), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"corner": True}])
def test_corner(prepare, truth, settings):
    quiet = {name: value for name, value in QUIET.items() if name != "centre"}
    frames = np.fft.ifftshift(truth.patterns, axes=(1, 2))
    done, scan = prepare({"frames": frames}, quiet=quiet, **settings)
    assert done.recipe.corner
    # found to half a pixel: at most one row or column is beyond the frame
    assert scan.mask.sum() >= (M - 1) ** 2 and np.allclose(done.centre, M // 2, atol=0.6)


def test_transpose_and_flips(prepare, truth):
    frames = frames_of(truth)
    turned = frames.swapaxes(1, 2)[:, ::-1, ::-1]
    centre = turned.shape[1] - 1 - CENTRE[1], turned.shape[2] - 1 - CENTRE[0]
    back = turned[:, ::-1, ::-1].swapaxes(1, 2)
    assert np.array_equal(back, frames)
    # transposed first, then flipped: rows of the raw frame are reversed after the exchange
    _, scan = prepare({"frames": turned}, transpose=True, flip_up_down=True, flip_left_right=True)
    assert centre[0] > 0
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, truth.patterns, 0))


def test_bin(prepare, truth):
    _, scan = prepare(bin=2)
    assert scan.m == M // 2
    sums = truth.patterns.reshape(25, M // 2, 2, M // 2, 2).sum(axis=(2, 4))
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, sums, 0))
    assert scan.geometry.detector_pixel == pytest.approx(2 * raw_sets.PIXEL)
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


def test_size_beyond_the_frame_is_masked(prepare):
    _, scan = prepare(size=108)
    assert scan.m == 108
    assert not scan.mask[:, :10].any() and scan.pixel_size == pytest.approx(GEOMETRY.pixel_size(108))


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("energy", ("8 keV", "8000 eV", "1.549802 angstrom", "0.1549802 nm", "1.2817413e-15 J")),
        ("distance", ("1.5 m", "1500 mm", "150 cm")),
        ("detector_pixel", ("75 um", "0.075 mm", "7.5e-5 m", "75 µm")),
    ],
)
def test_units_of_the_geometry(prepare, key, texts):
    for text in texts:
        _, scan = prepare(**{key: text})
        for name in ("energy", "distance", "detector_pixel"):
            assert getattr(scan.geometry, name) == pytest.approx(getattr(GEOMETRY, name), rel=1e-6)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ("m", 1),
        ("mm", 1e-3),
        ("um", 1e-6),
        ("nm", 1e-9),
        ("angstrom", 1e-10),
        ("2.5e-6", 2.5e-6),
        ("pixels", DX),
    ],
)
def test_units_of_positions(prepare, truth, values, unit):
    _, scan = prepare({"places": truth.positions * DX / unit}, positions=f"places in {values}")
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


@pytest.mark.parametrize("unit", [1, 1e-3, 1e-6, 1e-9, DX])
def test_units_of_positions_are_guessed(prepare, truth, unit):
    _, scan = prepare({"positions": truth.positions * DX / unit})
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


@pytest.mark.parametrize("layout", ["N2", "2N", "N3", "xy", "pair"])
def test_layouts_of_positions(prepare, truth, layout):
    p = truth.positions * DX
    arrays, settings = {
        "N2": ({"places": p}, {"positions": "places"}),
        "2N": ({"places": p.T}, {"positions": "places"}),
        "N3": ({"places": np.column_stack([p, 0 * p[:, 0]])}, {"positions": "places"}),
        "xy": ({"places": p[:, ::-1]}, {"positions": "places", "order": "xy"}),
        "pair": ({"down": p[:, 0], "along": p[:, 1]}, {"rows": "down", "columns": "along"}),
    }[layout]
    _, scan = prepare(arrays, **settings)
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


@pytest.mark.parametrize("fast", ["x", "y"])
def test_axes_of_a_raster(prepare, fast):
    y, x = np.arange(5) * 4 * DX, np.arange(5) * 6 * DX
    _, scan = prepare({"positions": None, "y": y, "x": x}, fast=fast)
    steps = scan.positions[1]
    assert np.allclose(steps, (0, 6) if fast == "x" else (4, 0), atol=1e-6)


def test_swap_and_flips(prepare, truth):
    _, scan = prepare(swap=True, flip_rows=True, flip_columns=True)
    turned = -truth.positions[:, ::-1]
    assert np.allclose(scan.positions, turned - turned.min(axis=0), atol=1e-6)


def test_several_readings_of_a_position_are_averaged(prepare, truth):
    twice = np.repeat(truth.positions * DX, 2, axis=0)
    twice[::2] += 3 * DX
    _, scan = prepare({"positions": twice})
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


def test_monitor_is_the_exposure(prepare):
    monitor = np.linspace(900, 1100, 25)
    _, scan = prepare({"diode": monitor}, monitor="diode")
    assert np.allclose(scan.exposure, monitor / monitor.mean())


def test_probe_of_a_zone_plate(prepare, truth):
    _, scan = prepare(
        probe="zone-plate",
        outermost_zone_width="150 nm",
        diameter="100 um",
        central_stop="30 um",
        defocus=3e-4,
    )
    expected = ptyxrf.zone_plate_probe(
        M, pixel_size=scan.pixel_size, energy=scan.geometry.energy, outermost_zone_width=150e-9,
        diameter=100e-6, central_stop=30e-6, defocus=3e-4,
    )  # fmt: skip
    assert np.allclose(scan.probe[0] / np.abs(scan.probe).max(), expected / np.abs(expected).max())
    assert np.sum(np.abs(scan.probe) ** 2) == pytest.approx(patterns_of(scan).sum() / 25)


def test_probe_of_a_larger_window(prepare, truth):
    """A probe of 60 raw pixels: the border of its spectrum is cut off."""
    wide = np.zeros((60, 60), complex)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(truth.probe)))
    wide[6:54, 6:54] = spectrum
    wide = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(wide)))
    _, scan = prepare({"beam": wide}, probe="beam")
    likeness = (
        abs(np.vdot(scan.probe[0], truth.probe)) / np.linalg.norm(scan.probe) / np.linalg.norm(truth.probe)
    )
    assert likeness == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"centre": (500.0, 500.0), "size": None}, "centre"),
        ({"size": 47, "bin": 2}, "size"),
        ({"select": "a:b"}, "select"),
        ({"drop": (99,)}, "drop"),
        ({"energy": "8"}, "energy"),
        ({"energy": "8 mm"}, "energy"),
        ({"distance": "nowhere"}, "distance"),
        ({"positions": "energy"}, "positions"),
        ({"positions": "positions", "rows": "a", "columns": "b"}, "positions"),
        ({"rows": "positions"}, "columns"),
        ({"triggers": 3}, "positions"),
        ({"frame_index": "positions"}, "frame_index"),
        ({"mask": "positions"}, "mask"),
        ({"flat": "positions"}, "flat"),
        ({"monitor": "positions"}, "monitor"),
        ({"probe": "frames"}, "probe"),
        ({"bad_pixels": (1, 2, 3)}, "bad_pixels"),
    ],
)
def test_errors_name_the_setting(prepare, tmp_path, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        prepare(**settings)
    assert not (tmp_path / "scan.h5").exists()


def test_hdf5_attributes_and_links(tmp_path, truth):
    """Numbers in attributes, frames in numbered datasets behind external links."""
    frames = frames_of(truth)
    for k, part in enumerate(np.split(frames, [10]), 1):
        with h5py.File(tmp_path / f"part_{k}.h5", "w") as file:
            file["data"] = part
    with h5py.File(tmp_path / "master.h5", "w") as file:
        for k in (1, 2):
            file[f"entry/data/data_00000{k}"] = h5py.ExternalLink(f"part_{k}.h5", "data")
        file["entry/samx"], file["entry/samy"] = (truth.positions * DX)[:, ::-1].T * 1e3
        for name in ("samx", "samy"):
            file[f"entry/{name}"].attrs["units"] = "mm"
        file.attrs["energy_keV"] = raw_sets.ENERGY_KEV
        file.attrs["detector_distance_m"], file.attrs["pixel_size_um"] = (
            raw_sets.DISTANCE,
            raw_sets.PIXEL * 1e6,
        )
    done = ptyxrf.prepare(tmp_path / "master.h5", tmp_path / "scan.h5", **QUIET)
    scan = ptyxrf.read_scan(done.path)
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, truth.patterns, 0))
    assert np.allclose(scan.positions, truth.positions, atol=1e-6)


@pytest.mark.parametrize("form", ["stack", "series", "npy"])
def test_images_and_tables(tmp_path, truth, form):
    """Frames as TIFF or NPY, positions as text, the rest from the recipe."""
    tifffile = pytest.importorskip("tifffile")
    frames = frames_of(truth)
    if form == "stack":
        tifffile.imwrite(tmp_path / "f.tif", frames)
    elif form == "npy":
        np.save(tmp_path / "f.npy", frames)
    else:
        for k, frame in enumerate(frames):
            tifffile.imwrite(tmp_path / f"f_{k}.tif", frame)
    np.savetxt(tmp_path / "places.txt", truth.positions[:, ::-1] * DX * 1e6, header="x y")
    paths = [tmp_path / ("f.npy" if form == "npy" else "f*.tif"), tmp_path / "places.txt"]
    how = {"energy": "8 keV", "distance": "1.5 m", "detector_pixel": "75 um"}
    done = ptyxrf.prepare(paths, tmp_path / "scan.h5", **QUIET, **how)
    scan = ptyxrf.read_scan(done.path)
    assert np.array_equal(patterns_of(scan), np.where(scan.mask, truth.patterns, 0))
    assert np.allclose(scan.positions, truth.positions, atol=1e-4)


def test_a_scan_in_pixels(prepare, truth):
    """Nothing is known of the geometry: patterns are as large as frames, positions in their pixels."""
    frames = truth.patterns
    nothing = {"energy": None, "distance": None, "pixel_size": None}
    quiet = {"orientation": "given", "probe": "mean-pattern"}
    _, scan = prepare({"frames": frames, "positions": truth.positions[None], **nothing}, quiet=quiet)
    assert scan.m == M and scan.geometry is None
    assert np.allclose(scan.positions, truth.positions)
    with pytest.raises(ValueError, match="energy, distance, detector_pixel: expected them"):
        prepare({"frames": frames, **nothing}, quiet=quiet, positions="positions in um")
