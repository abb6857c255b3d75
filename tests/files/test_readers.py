"""The table of formats: each file in its documented layout is read by one call, without an argument."""

import pickle

import foreign_maps
import h5py
import numpy as np
import pytest
from foreign_scans import fold_slice, hxn_new, hxn_old, npz_product, ptychi, ptychodus, ptychodus_cxi, ptyd
from scan_examples import example_scan

import ptyxrf
from ptyxrf.driver.files.hdf5_reader import reading
from ptyxrf.driver.files.readers.reader import Reader
from ptyxrf.driver.files.readers.registry import reader_of, readers


@pytest.mark.parametrize(
    "write", [ptychodus, ptychodus_cxi, ptychi, npz_product, fold_slice, hxn_old, hxn_new, ptyd]
)
def test_scans(tmp_path, write):
    scan = example_scan(sampling=None)
    path, order = write(scan, tmp_path)
    back = ptyxrf.read_scan(path)
    np.testing.assert_allclose(back.patterns[:], scan.patterns[order], rtol=1e-5)
    np.testing.assert_allclose(back.patterns[[7, 2]], scan.patterns[order][[7, 2]], rtol=1e-5)
    expected = scan.positions[order] - scan.positions[order].min(axis=0)
    np.testing.assert_allclose(back.positions, expected, atol=1e-6)
    assert back.probe_known == (write in (ptychodus, ptychodus_cxi, ptychi, npz_product))
    if back.probe_known:
        np.testing.assert_allclose(back.probe, scan.probe)
    if write is ptychi:
        assert back.geometry is None
    else:
        assert back.pixel_size == pytest.approx(scan.pixel_size, rel=1e-9)
    if write in (ptyd, npz_product, ptychodus_cxi):
        assert np.flatnonzero(~back.mask.ravel()).tolist() == [43, 55]
    # a scan that was read is one that can be written
    ptyxrf.write_scan(tmp_path / "own.h5", back)
    np.testing.assert_allclose(ptyxrf.read_scan(tmp_path / "own.h5").patterns[5], back.patterns[5])


def test_weights_of_each_pattern_stay_in_the_file(tmp_path):
    path, _ = ptyd(example_scan(sampling=None), tmp_path)
    with h5py.File(path, "r+") as file:
        file["chunks/1/weights"][2, 4, 6] = 0
    back = ptyxrf.read_scan(path)
    assert not isinstance(back.mask, np.ndarray)
    expected = np.repeat(back.mask[:1], back.N, axis=0)
    expected[6, 4, 6] = False
    assert np.array_equal(back.mask[:], expected)


@pytest.mark.parametrize(
    ("group", "others"),
    [
        ("/", ["x"]),
        ("/MAPS", ["MAPS/channel_names"]),
        ("/entry/measurement", ["entry/measurement/pseudo/x", "entry/measurement/pseudo/y"]),
        ("/entry/data", ["entry/data/data_1", "entry/instrument/detector/detectorSpecific/x"]),
        ("/diff_data", ["diff_data/merlin", "scan/scan_positions"]),
        ("/p/results/parameters", ["p/results/parameters/scatter"]),
        ("/xrfmap", ["xrfmap/detsum/x"]),
        ("/chunks", ["chunks/0/x", "meta/energy"]),
    ],
)
def test_names_in_a_file_that_are_not_utf8(tmp_path, group, others):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        for name in others:
            file[name] = np.ones((2, 3))
        h5py.h5g.create(file[group].id, b"caf\xe9")
    for read in (ptyxrf.read_scan, ptyxrf.read_maps):
        with pytest.raises(ValueError, match=r"file\.h5: "):
            read(path)


def test_a_pair_that_is_not_whole(tmp_path):
    path, _ = ptychodus(example_scan(sampling=None), tmp_path)
    (tmp_path / "patterns.h5").rename(tmp_path / "patterns.txt")
    with pytest.raises(ValueError, match=r"product\.h5: expected one file with diffraction patterns"):
        ptyxrf.read_scan(path)


def test_a_product_in_one_cxi_file_and_its_damages(tmp_path):
    """Patterns in the same file; what is wrong is named."""
    scan = example_scan(sampling=None)
    path, order = ptychodus_cxi(scan, tmp_path)
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "diffraction.cxi") as other:
        other.copy("/entry_1/instrument_1/detector_1/data", file["entry_1/instrument_1/detector_1"])
    (tmp_path / "diffraction.cxi").unlink()
    assert np.array_equal(ptyxrf.read_scan(path).patterns[3], scan.patterns[order][3])
    for name, value, message in (
        ("sample_1/geometry_1/translation", np.zeros((3, 3)), r"translation: expected \(13, 3\) metres"),
        ("ptychodus/object_pixel_height_m", 0.0, "object_pixel_height_m: expected the pixel of the object"),
        ("ptychodus/probe_position_indexes", np.full(13, 99), "indexes: expected numbers of the 12 patterns"),
        ("instrument_1/detector_1/data", np.zeros((12, 3, 4)), r"data: expected square patterns"),
    ):
        with h5py.File(path, "r+") as file:
            kept = file[f"entry_1/{name}"][()]
            del file[f"entry_1/{name}"]
            file[f"entry_1/{name}"] = value
        with pytest.raises(ValueError, match=message):
            ptyxrf.read_scan(path)
        with h5py.File(path, "r+") as file:
            del file[f"entry_1/{name}"]
            file[f"entry_1/{name}"] = kept


def test_pyxrf(tmp_path):
    rng = np.random.default_rng(4)
    areas, scalers = rng.poisson(40.0, (4, 3, 5)).astype("f4"), rng.random((3, 5, 2))
    y, x = np.meshgrid(1e-5 + 2e-7 * np.arange(3), 5e-6 + 1e-7 * np.arange(5), indexing="ij")
    names = ("Fe_K", "Userpeak1", "Pt_L", "r2_adjust")
    maps = ptyxrf.read_maps(foreign_maps.pyxrf(tmp_path, areas, names, y, x, scalers=scalers))
    assert maps.element_names == ["Fe_K", "Pt_L"]
    assert np.array_equal(maps.counts, areas[[0, 2]])
    assert np.array_equal(maps.scalers["i0"], scalers[..., 0])
    np.testing.assert_allclose([maps.y[1] - maps.y[0], maps.x[1] - maps.x[0]], [2e-7, 1e-7], rtol=1e-6)


def test_pymca(tmp_path):
    rng = np.random.default_rng(5)
    areas, errors = rng.uniform(5, 90, (2, 4, 6)), rng.uniform(1, 3, (2, 4, 6))
    path = foreign_maps.pymca(tmp_path, areas, ("Fe_K", "Pb_L"), errors)
    maps = ptyxrf.read_maps(path)
    assert maps.element_names == ["Fe_K", "Pb_L"]
    np.testing.assert_allclose(maps.counts, areas)
    np.testing.assert_allclose(maps.variances, errors**2)
    np.testing.assert_allclose(ptyxrf.read_maps(path, ["Pb_L"]).variances[0], errors[1] ** 2)


def test_a_reader_of_another_package(tmp_path, monkeypatch):
    from ptyxrf.driver.files.readers import registry

    mine = Reader("mine", "a test", "scan", "patterns", lambda file: file.has("mine"), lambda file: None)

    class Entry:
        value = "mine:READER"

        def load(self):
            return mine

    monkeypatch.setattr(
        registry, "entry_points", lambda group: [Entry()] if group == "ptyxrf.readers" else []
    )
    registry.added_readers.cache_clear()
    try:
        assert readers()[0] is mine
        with h5py.File(tmp_path / "mine.h5", "w") as file:
            file["mine"] = 1
        with reading(tmp_path / "mine.h5") as file:
            assert reader_of(file, "scan") is mine
            with pytest.raises(ValueError, match=r"expected fluorescence maps .*, got a file of mine"):
                reader_of(file, "maps")
        mine = "none"
        registry.added_readers.cache_clear()
        with pytest.raises(ValueError, match="mine:READER: expected a Reader, got str"):
            readers()
    finally:
        registry.added_readers.cache_clear()


def test_a_file_of_no_format_says_what_is_in_it(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["stack/images"] = np.zeros((3, 4, 5))
        file["motors"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"none of the known formats .* motors, stack; .* /stack/images \(3"):
        ptyxrf.read_scan(tmp_path / "raw.h5")


@pytest.mark.parametrize(
    ("name", "reverse"), [("/probe", False), ("/probe", True), ("/content/probe/S00G00/data", False)]
)
def test_probes_of_other_programs(tmp_path, name, reverse):
    """A product of ptychodus, a result of PtychoShelves, a result of PtyPy."""
    rng = np.random.default_rng(6)
    probe = rng.normal(size=(3, 12, 12)) + 1j * rng.normal(size=(3, 12, 12))
    with h5py.File(tmp_path / "probe.h5", "w") as file:
        if reverse:
            compound = np.empty((2, 3, 12, 12), [("real", "f8"), ("imag", "f8")])
            compound["real"], compound["imag"] = probe.swapaxes(1, 2).real, probe.swapaxes(1, 2).imag
            file[name] = compound
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        else:
            file[name] = probe
    assert np.array_equal(ptyxrf.read_probe(tmp_path / "probe.h5"), probe)


def test_the_probe_of_a_scan_or_nothing(tmp_path):
    scan = example_scan(modes=2)
    ptyxrf.write_scan(tmp_path / "scan.h5", scan)
    assert np.array_equal(ptyxrf.read_probe(tmp_path / "scan.h5"), scan.probe)
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["probe"] = np.ones((4, 4))
    with pytest.raises(ValueError, match=r"/probe: expected a complex probe"):
        ptyxrf.read_probe(tmp_path / "none.h5")


@pytest.mark.parametrize("given", ["data_roi0_Ndp12_dp.hdf5", "patterns.npz"])
def test_pairs_by_the_file_of_the_patterns(tmp_path, given):
    scan = example_scan(sampling=None)
    path, _ = (npz_product if given.endswith("npz") else fold_slice)(scan, tmp_path)
    first, second = ptyxrf.read_scan(path), ptyxrf.read_scan(tmp_path / given)
    assert np.array_equal(first.positions, second.positions)
    assert np.array_equal(first.patterns[:], second.patterns[:])


def test_positions_of_a_simulation_have_no_pixel(tmp_path):
    """fold_slice writes none beside simulated positions: `prepare` takes the geometry."""
    path, _ = fold_slice(example_scan(sampling=None), tmp_path)
    with h5py.File(path, "r+") as file:
        del file["dx"], file["lambda"]
    with pytest.raises(ValueError, match=r"/dx: no such dataset .* ptyxrf prepare takes energy, distance"):
        ptyxrf.read_scan(path)


def test_compressed_and_damaged_npz(tmp_path):
    path, order = npz_product(scan := example_scan(sampling=None), tmp_path)
    with np.load(tmp_path / "patterns.npz") as arrays:
        np.savez_compressed(tmp_path / "patterns.npz", **dict(arrays))
    back = pickle.loads(pickle.dumps(ptyxrf.read_scan(path)))
    assert np.array_equal(back.patterns[2:9], scan.patterns[order][2:9])
    whole = path.read_bytes()
    header, entry = whole.index(b"{'descr'"), whole.index(b"PK\x01\x02")
    for damaged in (  # truncated, a header without its end, another compression, another version
        whole[:-400], whole.replace(b", }", b", ("), whole[: entry + 10] + b"\x63" + whole[entry + 11 :],
        whole[: entry + 6] + b"\xff" + whole[entry + 7 :], whole[:header] + b"(" + whole[header + 1 :],
    ):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"product.npz: not an HDF5 file but .* no whole .npz file"):
            ptyxrf.read_scan(path)


def test_raw_files_name_the_next_step(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["entry/measurement/pseudo/x"], file["entry/measurement/pseudo/y"] = np.zeros(3), np.zeros(3)
        file["entry/measurement/merlin/frames"] = np.zeros((3, 8, 8), "u2")
    message = r"raw data, which are not a scan yet: ptyxrf prepare .*raw\.h5 --energy \.\.\. --distance"
    with pytest.raises(ValueError, match=message):
        ptyxrf.read_scan(tmp_path / "raw.h5")
