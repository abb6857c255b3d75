"""Result files: exact round trips, pictures for viewers, and errors that say what is wrong."""

import os
from dataclasses import asdict

import h5py
import numpy as np
import pytest
from file_examples import example_result
from scan_examples import assert_lost_datasets_are_named, default_dataset, example_scan, same_array

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.reconstruction.verdict import without_floor


def same_history(first, second):
    def text(records):
        return [repr(asdict(record)) for record in records]  # NaN is not equal to itself, its name is

    return text(first) == text(second)


@pytest.mark.parametrize("elements", [0, 1, 3])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("with_scan", [False, True])
def test_round_trip_is_exact(tmp_path, elements, dtype, with_scan):
    result = example_result(elements, dtype)
    path = tmp_path / "result.h5"
    write_result(path, result, example_scan() if with_scan else None)
    back = read_result(path)
    names = ("object", "elements", "probe", "predicted_fluorescence", "pattern_misfit", "pattern_background")
    for name in (*names, "positions", "intensities"):
        assert same_array(getattr(result, name), getattr(back, name)), name
    assert same_quality(result.quality, back.quality)
    assert same_history(result.history, back.history)
    assert all(type(record.products) is int and type(record.loss) is float for record in back.history)
    assert (back.reason, back.method, back.settings) == (result.reason, result.method, result.settings)


def test_a_fallback_is_a_result_of_its_own(tmp_path):
    """With all that a result has, in a group with the layout of the entry; its loss is an error."""
    result, path = example_result(fallback=True), tmp_path / "result.h5"
    write_result(path, result, example_scan())
    back = read_result(path)
    for ours, expected in ((back, result), (back.fallback, result.fallback)):
        for name in ("object", "elements", "probe", "predicted_fluorescence", "pattern_misfit", "positions"):
            assert same_array(getattr(ours, name), getattr(expected, name)), name
        assert same_quality(ours.quality, expected.quality)
        assert same_history(ours.history, expected.history)
        assert (ours.method, ours.settings) == (expected.method, expected.settings)
    assert back.fallback.fallback is None
    assert not np.array_equal(back.object, back.fallback.object)
    with h5py.File(path, "r+") as file:
        assert file["entry_1/fallback_1/image_1/data"].shape == result.object.shape
        del file["entry_1/fallback_1"]
    with pytest.raises(ValueError, match="fallback_1/process_1/method: no such dataset"):
        read_result(path)
    write_result(path, example_result(), example_scan())
    assert read_result(path).fallback is None


def test_results_without_positions_and_intensities(tmp_path):
    """As written before there were any, or where they were not refined: there is no dataset of them."""
    path = tmp_path / "result.h5"
    write_result(path, example_result(beam=False), example_scan())
    with h5py.File(path) as file:
        assert not {"positions", "intensities"}.intersection(file["entry_1/process_1"])
    back = read_result(path)
    assert back.positions is None and back.intensities is None
    write_result(path, example_result(), example_scan())
    with h5py.File(path) as file:
        assert file["entry_1/process_1/positions"].shape == (12, 2)
        assert file["entry_1/process_1/positions"].attrs["units"] == "pixel"
        assert file["entry_1/process_1/intensities"].shape == (12,)


def same_quality(first, second):
    if first is None or second is None:
        return first is second
    arrays = ("per_position", "per_pixel", "chi_square", "freedom")
    numbers, others = ({k: v for k, v in vars(q).items() if k not in arrays} for q in (first, second))
    return repr(numbers) == repr(others) and all(
        same_array(getattr(first, name), getattr(second, name)) for name in arrays
    )


def test_quality(tmp_path):
    """Judged, without a floor, and none at all; an earlier version wrote neither it nor the floor."""
    result, path = example_result(), tmp_path / "result.h5"
    for quality in (result.quality, without_floor(0.25, noiseless=False), None):
        result.quality = quality
        write_result(path, result)
        back = read_result(path)
        assert same_quality(back.quality, quality)
        with h5py.File(path, "r") as file:
            assert ("entry_1/process_1/quality" in file) == (quality is not None)
    assert np.isnan(back.history["ptychography_floor"]).all()
    with h5py.File(path, "r") as file:  # as an earlier version wrote it
        assert "entry_1/history_1/ptychography_floor" not in file


def test_the_floor_in_the_history(tmp_path):
    result, path = example_result(), tmp_path / "result.h5"
    result.history = result.history.with_floor(1.25)
    write_result(path, result)
    assert same_history(read_result(path).history, result.history)


@pytest.mark.parametrize("name", ["good", "per_pixel", "noise_floor"])
def test_a_damaged_quality_is_named(tmp_path, name):
    path, place = tmp_path / "result.h5", f"entry_1/process_1/quality/{name}"
    write_result(path, example_result())
    with h5py.File(path, "r+") as file:
        del file[place]
    with pytest.raises(ValueError, match=name):
        read_result(path)
    with h5py.File(path, "r+") as file:
        file[place] = np.array([7.5, np.inf])
    with pytest.raises(ValueError, match=f"{name}: expected"):
        read_result(path)


@pytest.mark.parametrize("history", [0, 1])
def test_short_histories(tmp_path, history):
    result = example_result(history=history)
    write_result(tmp_path / "result.h5", result)
    assert same_history(read_result(tmp_path / "result.h5").history, result.history)


def test_settings_of_numpy(tmp_path):
    result = example_result()
    result.settings = {"alpha": np.array([1.5, 2.5]), "steps": np.int64(3), "nested": {"delta": (0.1, 0.2)}}
    write_result(tmp_path / "result.h5", result)
    assert read_result(tmp_path / "result.h5").settings == {
        "alpha": [1.5, 2.5],
        "steps": 3,
        "nested": {"delta": [0.1, 0.2]},
    }
    result.settings = {"long": "x" * 100_000, "list": list(range(5000))}
    write_result(tmp_path / "result.h5", result)
    assert read_result(tmp_path / "result.h5").settings == result.settings
    result.settings = {"comm": object()}
    with pytest.raises(ValueError, match="settings: expected numbers"):
        write_result(tmp_path / "result.h5", result)


def test_viewers_see_the_object_and_the_maps(tmp_path):
    scan, result = example_scan(), example_result()
    write_result(tmp_path / "result.h5", result, scan)
    with h5py.File(tmp_path / "result.h5") as file:
        picture = default_dataset(file)
        assert picture.name == "/entry_1/image_1/data"
        assert same_array(picture[()], result.object)
        entry = file["entry_1"]
        for e, name in enumerate(scan.element_names):
            image = entry[f"image_{e + 2}"]
            assert image.attrs["NX_class"] == "NXdata" and image.attrs["title"] == name
            assert same_array(image[image.attrs["signal"]][()], result.elements[e])
            for axis, size in zip(image.attrs["axes"], result.object.shape, strict=True):
                np.testing.assert_allclose(image[axis][()], np.arange(size) * scan.pixel_size)
                assert image[axis].attrs["units"] == "m"
        history = entry["history_1"]
        assert np.array_equal(history[history.attrs["signal"]][()], [12.5, 2.25])
        assert np.array_equal(entry["sample_1/geometry_1/positions"][()], scan.positions)
        settings = entry["process_1/settings"]
        assert settings.attrs["name"] == "statistical" and settings.attrs["alpha"].tolist() == [1.5, 2.5]
        assert entry["process_1/reason_sentence"][()].decode() == Reason.LINE_SEARCH.value
        arrays = []
        file.visititems(lambda name, item: arrays.append(item) if getattr(item, "shape", ()) else None)
        assert [item.name for item in arrays if not item.fletcher32] == []


def test_without_geometry_there_are_no_metres(tmp_path):
    write_result(tmp_path / "result.h5", example_result(), example_scan(geometry=None))
    with h5py.File(tmp_path / "result.h5") as file:
        assert "axes" not in file["entry_1/image_1"].attrs


def test_every_dataset_that_is_lost_is_named(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example_result(), example_scan())
    unread = "cxi_version number_of_entries title program_name data_space x y image_size element_names "
    unread += "reason_sentence positions error_names"
    assert_lost_datasets_are_named(path, read_result, unread)


def test_damaged_and_other_files(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example_result())
    whole = path.read_bytes()
    for length in [0, 300, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"result\.h5"):
            read_result(path)
    with h5py.File(tmp_path / "copy.h5", "w") as file:
        file["a"] = 1
    path.write_bytes(whole)
    with h5py.File(path) as file:
        chunk = file["/entry_1/image_2/data"].id.get_chunk_info(0)
    damaged = bytearray(whole)
    damaged[chunk.byte_offset + 9] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"result\.h5: /entry_1/image_2/data: cannot be read"):
        read_result(path)
    with pytest.raises(ValueError, match="not a result"):
        read_result(tmp_path / "copy.h5")
    write_scan(path, example_scan())
    with pytest.raises(ValueError, match="not a result"):
        read_result(path)
    write_result(path, example_result())
    with pytest.raises(ValueError, match="detector_1/data: no such dataset"):
        read_scan(path)


def test_the_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "result.h5"
    result = example_result()
    write_result(path, result)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_result(path, result.replaced(pattern_misfit=np.array([object()])))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["result.h5"]
