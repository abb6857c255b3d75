"""Scan files: exact round trips, the conventions of CXI, and errors that say what is wrong."""

import copy
import os
import pickle
import struct
from functools import partialmethod

import h5py
import numpy as np
import pytest
from file_examples import DETECTOR, write_foreign
from scan_examples import (
    FIELDS,
    GEOMETRY,
    assert_lost_datasets_are_named,
    default_dataset,
    example_scan,
    same_array,
)

from ptyxrf.driver.data.geometry import PLANCK_TIMES_C
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.files.scan_file import read_scan, write_scan
from ptyxrf.driver.files.stored_array import StoredArray
from ptyxrf.driver.objective.objective import Objective


@pytest.mark.parametrize("modes", [1, 3])
@pytest.mark.parametrize("sampling", ["grid", "scan", None])
@pytest.mark.parametrize("mask", [None, 2, 3])
@pytest.mark.parametrize("geometry", [None, GEOMETRY])
def test_round_trip_is_exact(tmp_path, modes, sampling, mask, geometry):
    scan = example_scan(modes=modes, sampling=sampling, mask=mask, geometry=geometry)
    path = tmp_path / "scan.h5"
    write_scan(path, scan)
    back = read_scan(path)
    for name in FIELDS:
        if sampling is None and name == "fluorescence_count_scale":
            continue
        assert same_array(getattr(scan, name), getattr(back, name)), name
    for name in ("shape", "sampling", "element_names", "geometry", "units", "title", "blur"):
        assert getattr(scan, name) == getattr(back, name), name
    assert isinstance(back.patterns, PatternFile)
    assert same_array(scan.patterns, back.patterns)
    kept = {name for name in scan.truth if scan.truth[name].size}
    assert kept <= set(back.truth)
    assert all(same_array(scan.truth[name], back.truth[name]) for name in kept)


@pytest.mark.parametrize("dtype", ["u1", "<i4", ">i8", "f2", "<f4", ">f8", "?"])
def test_patterns_keep_their_dtype(tmp_path, dtype):
    scan = example_scan(dtype=dtype)
    write_scan(tmp_path / "scan.h5", scan)
    assert same_array(scan.patterns, read_scan(tmp_path / "scan.h5").patterns)


def test_a_read_scan_writes_itself_again(tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    write_scan(first, example_scan())
    write_scan(second, read_scan(first))
    write_scan(second, read_scan(second))
    assert same_array(read_scan(first).patterns, read_scan(second).patterns)


def test_patterns_are_read_as_arrays_are_indexed(tmp_path, monkeypatch):
    scan = example_scan()
    write_scan(tmp_path / "scan.h5", scan)
    monkeypatch.chdir(tmp_path)
    lazy = read_scan("scan.h5").patterns
    monkeypatch.chdir("/")
    flags = np.arange(scan.N) % 3 == 0
    keys = [0, -1, np.int64(3), slice(None), slice(2, 9), slice(None, None, -2), slice(5, 5), Ellipsis]
    keys += [[0, 1, 2, 7, 9], np.array([8, 2, 2, 0]), [], flags, (slice(1, 5), 3), (2, slice(None), 4)]
    keys += [(Ellipsis, 0), ([1, 5], slice(2), slice(3)), (), ([5, 1], [0, 2]), (2, slice(None), [0, 1])]
    keys += [np.array([[1, 0], [3, 3]]), (slice(7, 2, -1), slice(None), [3])]
    for key in keys:
        index = np.array(key, dtype=int) if isinstance(key, list) and not key else key
        assert same_array(scan.patterns[index], lazy[index]), key
    assert len(lazy) == scan.N and lazy.ndim == 3
    with pytest.raises(IndexError):
        lazy[scan.N]
    again = pickle.loads(pickle.dumps(lazy))
    assert same_array(again[3], scan.patterns[3])
    assert same_array(copy.deepcopy(lazy)[3], scan.patterns[3])
    assert np.asarray(lazy, dtype=float).dtype == float


def test_patterns_are_stored_for_reading_one_by_one(tmp_path):
    scan = example_scan(m=12)
    write_scan(tmp_path / "scan.h5", scan.replace())
    with h5py.File(tmp_path / "scan.h5") as file:
        data = file[f"{DETECTOR}/data"]
        assert data.chunks[1:] == data.shape[1:]
        assert data.chunks[0] * data[0].nbytes <= 1 << 18
        assert data.compression == "gzip"


def test_cxi_conventions(tmp_path):
    scan = example_scan(mask=2)
    write_scan(tmp_path / "scan.h5", scan)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert file["cxi_version"][()] == 160
        energy = file["/entry_1/instrument_1/source_1/energy"][()]
        assert energy == GEOMETRY.energy
        detector = file[DETECTOR]
        translation = detector["translation"][()]
        dx = PLANCK_TIMES_C / energy * detector["distance"][()] / (scan.m * detector["x_pixel_size"][()])
        # the optics move against the sample, rows and columns against y and x (below)
        columns, rows = translation[:, 0] / dx, translation[:, 1] / dx
        expected = scan.positions - scan.positions.min(axis=0)
        np.testing.assert_allclose(
            np.stack([rows - rows.min(), columns - columns.min()], 1), expected, atol=1e-9
        )
        assert translation.shape == (scan.N, 3)
        for name in ("/entry_1/data_1/translation", "/entry_1/sample_1/geometry_1/translation"):
            assert np.array_equal(file[name][()], translation)
        assert np.array_equal(file["/entry_1/data_1/data"][()], detector["data"][()])
        assert np.array_equal(detector["mask"][()] == 0, scan.mask)
        slow, fast = detector["basis_vectors"][()]
        assert np.array_equal(slow, [0, -75e-6, 0]) and np.array_equal(fast, [-75e-6, 0, 0])
        centre = detector["corner_position"][()] + (slow + fast) * (scan.m // 2 + 0.5)
        np.testing.assert_allclose(centre, [0, 0, GEOMETRY.distance], atol=1e-12)


def test_a_scan_without_geometry_has_marked_numbers(tmp_path):
    scan = example_scan(geometry=None)
    write_scan(tmp_path / "scan.h5", scan)
    with h5py.File(tmp_path / "scan.h5") as file:
        source, detector = file["/entry_1/instrument_1/source_1"], file[DETECTOR]
        assert source["energy"].attrs["nominal"] and detector["distance"].attrs["nominal"]
        wavelength = source["wavelength"][()]
        assert wavelength * detector["distance"][()] / (
            scan.m * detector["x_pixel_size"][()]
        ) == pytest.approx(1e-9, rel=1e-12)
        translation = file["/entry_1/data_1/translation"][()]
    np.testing.assert_allclose(translation[:, :2][:, ::-1] / 1e-9, scan.positions, rtol=1e-12)


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_numeric_arrays_have_checksums_and_viewers_a_picture(tmp_path, sampling):
    write_scan(tmp_path / "scan.h5", example_scan(mask=3, sampling=sampling))
    with h5py.File(tmp_path / "scan.h5") as file:
        arrays = []
        file.visititems(lambda name, item: arrays.append(item) if getattr(item, "shape", ()) else None)
        assert len(arrays) > 10
        assert [item.name for item in arrays if not item.fletcher32] == []
        picture = default_dataset(file)
        assert picture.shape == (12, 12, 12) and picture.attrs["interpretation"] == "image"
        maps = file["/entry_1/fluorescence_1"]
        assert maps.attrs["NX_class"] == "NXdata" and maps.attrs["signal"] == "data"
        assert maps["data"].attrs["interpretation"] == ("image" if sampling == "grid" else "spectrum")


def test_foreign_file(tmp_path):
    scan = example_scan(modes=2, sampling=None)
    path = tmp_path / "foreign.cxi"
    write_foreign(path, scan, **{f"{DETECTOR}/mask": np.where(np.eye(12) > 0, 2, 0x1000).astype("u4")})
    back = read_scan(path)
    assert same_array(back.patterns, scan.patterns)
    assert same_array(back.probe, scan.probe)
    np.testing.assert_allclose(back.positions, scan.positions - scan.positions.min(axis=0), atol=1e-9)
    assert back.geometry == scan.geometry
    assert back.sampling is None and back.N_e == 0 and back.count_scale is None
    assert np.array_equal(back.mask, np.eye(12) == 0)


def test_foreign_file_of_another_mind(tmp_path):
    scan = example_scan(sampling=None)
    path = tmp_path / "foreign.cxi"
    x, y = scan.positions[:, 1] * scan.pixel_size, scan.positions[:, 0] * scan.pixel_size
    expected = scan.positions - scan.positions.min(axis=0)
    name = "/entry_1/data_1/translation"
    for values, flags in (
        ([y, x], {"swap": True, "flip_rows": True, "flip_columns": True}),
        ([-x, y], {"flip_rows": True}),
        ([x, -y], {"flip_columns": True}),
        ([-y, -x], {"swap": True}),
    ):
        write_foreign(path, scan, **{name: np.stack(values, axis=1)})
        np.testing.assert_allclose(read_scan(path, **flags).positions, expected, atol=1e-9)
    write_scan(path, scan)
    with pytest.raises(ValueError, match="exact pixel positions"):
        read_scan(path, swap=True)


@pytest.mark.parametrize(
    "place",
    ["/entry_1/instrument_1/source_1/probe", "/entry_1/image_1/process_1/final_illumination"],
)
def test_foreign_probe_in_other_places(tmp_path, place):
    scan = example_scan(sampling=None)
    write_foreign(tmp_path / "foreign.cxi", scan, probe=place)
    assert same_array(read_scan(tmp_path / "foreign.cxi").probe, scan.probe)


def test_foreign_geometry_in_other_words(tmp_path):
    scan = example_scan(sampling=None)
    pixel = scan.geometry.detector_pixel
    path = tmp_path / "foreign.cxi"
    changes = {
        "/entry_1/instrument_1/source_1/energy": None,
        "/entry_1/instrument_1/source_1/wavelength": scan.geometry.wavelength,
        f"{DETECTOR}/distance": None,
        f"{DETECTOR}/corner_position": [0.0, 0.0, scan.geometry.distance],
        f"{DETECTOR}/x_pixel_size": None,
        f"{DETECTOR}/y_pixel_size": None,
        f"{DETECTOR}/basis_vectors": np.array([[0, -pixel, 0], [-pixel, 0, 0]]).T,
    }
    write_foreign(path, scan, **changes)
    back = read_scan(path)
    assert back.pixel_size == pytest.approx(scan.pixel_size, rel=1e-12)
    write_foreign(path, scan, **{f"{DETECTOR}/x_pixel_size": np.full(1, pixel / 2)})
    oblong = read_scan(path)
    assert oblong.geometry is None
    expected = (scan.positions - scan.positions.min(axis=0)) * [1, 0.5]
    np.testing.assert_allclose(oblong.positions, expected, atol=1e-9)
    write_foreign(path, scan, **{"/entry_1/instrument_1/source_1/energy": 8.8})
    with pytest.raises(ValueError, match=r"source_1/energy: expected a photon energy in joules, got 8\.8"):
        read_scan(path)


@pytest.mark.parametrize(
    "name",
    [
        "/entry_1/data_1/data",
        "/entry_1/data_1/translation",
        "/entry_1/instrument_1/source_1/energy",
        f"{DETECTOR}/distance",
    ],
)
def test_what_a_foreign_file_lacks_is_named(tmp_path, name):
    path = tmp_path / "foreign.cxi"
    write_foreign(path, example_scan(sampling=None), **{name: None})
    with pytest.raises(ValueError, match=rf"foreign\.cxi: {name}: no such dataset"):
        read_scan(path)


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_every_dataset_that_is_lost_is_named(tmp_path, sampling):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan(mask=2, sampling=sampling))
    # Told to other programs; what this one needs is elsewhere.
    unread = "cxi_version number_of_entries program_name wavelength translation y_pixel_size basis_vectors "
    unread += "corner_position"
    assert_lost_datasets_are_named(path, read_scan, unread)


def test_truncated_files(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    whole = path.read_bytes()
    for length in [0, 1, 7, 100, 500, len(whole) // 2, len(whole) - 1000, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"scan\.h5"):
            np.asarray(read_scan(path).patterns)


def test_other_files(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no scan" * 1000)
    with pytest.raises(ValueError, match=r"notes\.txt: not an HDF5 file"):
        read_scan(text)
    with pytest.raises(ValueError, match="got a folder"):
        read_scan(tmp_path)
    with h5py.File(tmp_path / "later.h5", "w") as file:
        file.attrs["ptyxrf_format"] = 99
    with pytest.raises(ValueError, match="later version"):
        read_scan(tmp_path / "later.h5")


def test_flipped_bytes_are_found(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan(mask=2))
    whole = path.read_bytes()
    with h5py.File(path) as file:
        chunks = {
            name: file[name].id.get_chunk_info(0)
            for name in (f"{DETECTOR}/data", f"{DETECTOR}/mask", "/entry_1/fluorescence_1/data")
        }
    for name, chunk in chunks.items():
        damaged = bytearray(whole)
        damaged[chunk.byte_offset + chunk.size // 2] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"scan\.h5: {name}: .*cannot be read"):
            np.asarray(read_scan(path).patterns)


def test_a_flipped_bit_of_a_number_is_found(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    whole = path.read_bytes()
    stored = struct.pack("<d", GEOMETRY.distance)
    # Once as the distance, once in the corner of the detector, which is not read.
    assert whole.count(stored) == 2
    for position in (whole.find(stored), whole.rfind(stored)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            assert read_scan(path).geometry == GEOMETRY
        except ValueError as error:
            found = str(error)
    assert "scan.h5" in found and f"{DETECTOR}/distance" in found


def test_damage_anywhere_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "scan.h5"
    scan = example_scan(mask=2)
    write_scan(path, scan)
    whole = path.read_bytes()
    found = 0
    for position in np.linspace(0, len(whole) - 1, 30).astype(int):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            patterns = np.asarray(read_scan(path).patterns)
        except ValueError as error:
            assert "scan.h5" in str(error)
            found += 1
        else:
            assert np.array_equal(patterns, scan.patterns)
    assert found > 6


def test_patterns_that_go_away_are_named(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan())
    lazy = read_scan(path).patterns
    write_scan(path, example_scan(m=10))
    with pytest.raises(ValueError, match=rf"scan\.h5: {DETECTOR}/data: has changed"):
        lazy[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no such file: .*scan\.h5"):
        lazy[0]


def test_the_old_file_stays_when_writing_fails(tmp_path):
    class Failing:
        shape, dtype = (12, 12, 12), np.dtype(np.uint16)

        def __getitem__(self, key):
            raise ValueError("patterns: the other file is damaged")

    path = tmp_path / "scan.h5"
    scan = example_scan()
    write_scan(path, scan)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="other file is damaged"):
        write_scan(path, scan.replace(patterns=Failing()))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["scan.h5"]
    with pytest.raises(ValueError, match="no folder"):
        write_scan(tmp_path / "nowhere" / "scan.h5", scan)


def test_replace(tmp_path):
    scan = example_scan(mask=2)
    same = scan.replace()
    assert all(same_array(getattr(scan, name), getattr(same, name)) for name in FIELDS)
    assert same.patterns is scan.patterns and same.title == scan.title and set(same.truth) == set(scan.truth)
    without = scan.replace(fluorescence=None)
    assert without.N_e == 0 and "elements" not in without.truth
    fewer = scan.replace(fluorescence=np.ones((1, scan.N)), element_names=["Zn"])
    assert fewer.element_names == ["Zn"] and fewer.sampling == "scan"
    with pytest.raises(TypeError):
        scan.replace(nothing=1)


@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_maps_masks_and_truth_stay_in_the_file(tmp_path, sampling, monkeypatch):
    scan = example_scan(mask=3, sampling=sampling)
    write_scan(tmp_path / "scan.h5", scan)
    read = []

    def remember(self, key, original):
        read.append(self.name)
        return original(self, key)

    for kind in (StoredArray, PatternFile):
        monkeypatch.setattr(kind, "__getitem__", partialmethod(remember, original=kind.__getitem__))
    lazy = read_scan(tmp_path / "scan.h5", check=False)
    assert read == []
    for array in (lazy.fluorescence, lazy.mask, *lazy.truth.values()):
        assert isinstance(array, StoredArray)
    assert same_array(lazy.mask[[1, 4]], scan.mask[[1, 4]])
    assert same_array(lazy.mask_at(np.array([2, 3])), scan.mask[2:4])
    assert same_array(lazy.fluorescence[:, 1:3], scan.fluorescence[:, 1:3])
    assert same_array(lazy.truth["object"][3:5, 2:9], scan.truth["object"][3:5, 2:9])
    assert same_array(lazy.measured, scan.measured)
    assert {name.split("/")[-1] for name in read} == {"data", "mask", "object"}
    # what a scan of arrays gives, a lazy one gives
    one = Objective(scan, alpha=1.0)
    other = Objective(pickle.loads(pickle.dumps(lazy)), alpha=1.0)
    value, gradient = one.value_and_gradient(one.initial)
    assert other.value_and_gradient(other.initial)[0] == value
    assert same_array(other.value_and_gradient(other.initial)[1], gradient)
    assert lazy.replace(title="again").fluorescence is lazy.fluorescence


def test_what_is_lazy_is_checked_when_it_is_used(tmp_path):
    scan = example_scan(mask=3)
    maps = np.array(scan.fluorescence)
    write_scan(tmp_path / "scan.h5", scan)
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        maps[0, 2, 2] = np.inf
        file["/entry_1/fluorescence_1/data"][...] = maps
    message = "1 infinite values for element 0"
    with pytest.raises(ValueError, match=message):
        read_scan(tmp_path / "scan.h5")
    lazy = read_scan(tmp_path / "scan.h5", check=False)
    with pytest.raises(ValueError, match=message):
        Objective(lazy, alpha=1.0)
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        file["/entry_1/fluorescence_1/data"][...] = scan.fluorescence
        file[f"{DETECTOR}/mask"][...] = 1
    with pytest.raises(ValueError, match="mask: expected some good pixels"):
        read_scan(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        del file["/entry_1/fluorescence_1/data"]
    with pytest.raises(ValueError, match=r"fluorescence_1/data: no such dataset"):
        np.asarray(lazy.fluorescence[0])


def test_names_that_are_not_utf8(tmp_path):
    """Of the folder and of the file; HDF5 takes their bytes."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    scan = example_scan(sampling=None)
    write_scan(folder / os.fsdecode(b"\xff.h5"), scan)
    assert os.listdir(os.fsencode(folder)) == [b"\xff.h5"]
    assert np.array_equal(read_scan(folder / os.fsdecode(b"\xff.h5")).patterns[3], scan.patterns[3])
