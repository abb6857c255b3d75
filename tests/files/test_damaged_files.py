"""Damaged files: thousands of random ones in processes of their own, and what they have found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from file_examples import example_result, write_maps
from scan_examples import example_scan

import ptyxrf
from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.maps_file import read_maps
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import read_scan, write_scan

FUZZ = Path(__file__).parents[1] / "fuzz" / "damaged_files.py"
GEOMETRY = "/entry_1/sample_1/geometry_1"
DETECTOR = "/entry_1/instrument_1/detector_1"


def damaged(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FUZZ), *words],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_each_kind_of_failure_is_found():
    """The loop itself: readers that crash, hang, run out of memory, raise something else or are wrong."""
    run = damaged("--kinds", "faulty", "--files", "7", "--time-limit", "3")
    assert run.returncode == 1
    said = dict(re.findall(r"^\d+: ([a-z ]+), [a-z ]+: (.*)$", run.stdout, re.MULTILINE))
    assert said.keys() == {"wrong", "crashing", "hanging", "greedy", "another exception", "nameless"}
    for kind, failure in (
        ("wrong", "wrong answer"),
        ("crashing", "crash: ended with -11"),
        ("hanging", "hang: no answer in 3 s"),
        ("greedy", "unclear error: out of memory"),
        ("another exception", "unclear error: KeyError"),
        ("nameless", "unclear error: ValueError"),
    ):
        assert said[kind].startswith(failure)


def test_some_damaged_files():
    run = damaged("--files", "30", "--seed", "11")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "30 damaged files: " in run.stdout


@pytest.mark.slow
def test_many_damaged_files():
    run = damaged("--files", "2000", "--seed", "1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2000 damaged files: " in run.stdout
    print(run.stdout)


def chunks_of(path: Path) -> dict[str, tuple[int, int]]:
    """Return offset and size of the first chunk of each dataset that has chunks."""
    found: dict[str, tuple[int, int]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks:
            chunk = item.id.get_chunk_info(0)
            found["/" + name] = chunk.byte_offset, chunk.size

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("kind", ["scan", "result"])
@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_a_chunk_that_never_came_to_disk_is_found(tmp_path, kind, fill):
    """The checksum that HDF5 has is right for a chunk of zeros, checksum and all."""
    path = tmp_path / "file.h5"
    if kind == "scan":
        write_scan(path, example_scan(mask=3))
    else:
        write_result(path, example_result())
    # told to other programs
    unread = f"{GEOMETRY}/translation {DETECTOR}/basis_vectors {DETECTOR}/corner_position"
    unread += " /entry_1/process_1/element_names"
    whole, found = path.read_bytes(), chunks_of(path)
    names = [name for name in found if name not in unread.split()]
    assert len(names) >= 15
    for name in names:
        start, size = found[name]
        path.write_bytes(whole[:start] + fill * size + whole[start + size :])
        with pytest.raises(ValueError, match=rf"file\.h5: {name}: .*damaged or truncated"):
            if kind == "scan":
                np.asarray(read_scan(path).patterns)
            else:
                read_result(path)


def test_files_written_before_the_second_checksum_are_read(tmp_path):
    path = tmp_path / "scan.h5"
    scan = example_scan(mask=2)
    write_scan(path, scan)
    with h5py.File(path, "a") as file:
        for name in (f"{DETECTOR}/mask", "/entry_1/fluorescence_1/data"):
            values = file[name][()]
            del file[name]
            file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
        noted = file["entry_1"].attrs["optional_datasets"]
        file["entry_1"].attrs["optional_datasets"] = np.array(
            [name.decode() for name in noted], dtype=h5py.string_dtype()
        )
    assert np.array_equal(read_scan(path).mask, scan.mask)


def test_an_edit_through_hdf5_is_no_damage(tmp_path):
    path = tmp_path / "scan.h5"
    scan = example_scan()
    write_scan(path, scan)
    with h5py.File(path, "a") as file:
        file[f"{DETECTOR}/exposure"][...] = 2 * scan.exposure
    np.testing.assert_array_equal(read_scan(path).exposure, 2 * scan.exposure)


def with_dataset(tmp_path: Path, name: str, make) -> Path:
    """Return a scan file in which one dataset was made anew by `make(file, shape, dtype)`."""
    path = tmp_path / "scan.h5"
    write_scan(path, example_scan(mask=3))
    with h5py.File(path, "a") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        make(file, shape, dtype)
    return path


def virtual(name: str, source: str):
    def make(file, shape, dtype):
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource(source, "/data", shape, dtype)
        file.create_virtual_dataset(name, layout)

    return make


EXPOSURE, PATTERNS = f"{DETECTOR}/exposure", f"{DETECTOR}/data"
WITHOUT_VALUES = {
    "huge": (
        EXPOSURE,
        lambda file, shape, dtype: file.create_dataset(EXPOSURE, (10**12,), dtype, fillvalue=1),
        r"has the shape .*, which cannot be in a file of|expected at most 12 values",
    ),
    "never written": (
        EXPOSURE,
        lambda file, shape, dtype: file.create_dataset(EXPOSURE, shape, dtype),
        "no values were ever written",
    ),
    "patterns never written": (
        PATTERNS,
        lambda file, shape, dtype: file.create_dataset(PATTERNS, shape, dtype, chunks=(1, *shape[1:])),
        "no values were ever written",
    ),
    "partly written": (
        PATTERNS,
        lambda file, shape, dtype: file.create_dataset(
            PATTERNS, shape, dtype, chunks=(1, *shape[1:])
        ).__setitem__(0, 1),
        "some of its values were never written",
    ),
    "no source": (PATTERNS, virtual(PATTERNS, "frames.h5"), r"/data of frames\.h5, which cannot be opened"),
    "external": (
        EXPOSURE,
        lambda file, shape, dtype: file.__setitem__(EXPOSURE, h5py.ExternalLink("frames.h5", "/data")),
        r"no such dataset .* link to /data in frames\.h5, which cannot be opened",
    ),
    "itself": (
        EXPOSURE,
        lambda file, shape, dtype: file.__setitem__(EXPOSURE, h5py.SoftLink(EXPOSURE)),
        "no such dataset|cannot be read",
    ),
    "compound": (
        EXPOSURE,
        lambda file, shape, dtype: file.__setitem__(EXPOSURE, np.zeros(shape, [("a", "f4"), ("b", "i2")])),
        "expected numbers or texts, got",
    ),
    "empty": (
        EXPOSURE,
        lambda file, shape, dtype: file.__setitem__(EXPOSURE, h5py.Empty("f8")),
        "has no values",
    ),
    "group": (
        EXPOSURE,
        lambda file, shape, dtype: file.create_group(EXPOSURE),
        "no such dataset in the file: there is a group of that name",
    ),
}


@pytest.mark.parametrize("what", WITHOUT_VALUES)
def test_what_holds_no_values_is_named(tmp_path, what):
    name, make, message = WITHOUT_VALUES[what]
    path = with_dataset(tmp_path, name, make)
    with pytest.raises(ValueError, match=rf"scan\.h5: {name}: .*({message})"):
        read_scan(path)


def test_values_in_other_files_are_read(tmp_path):
    """Detectors write frames into files of their own, and a master file that shows them as one."""
    scan = example_scan(mask=3)
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["data"] = scan.patterns
    path = with_dataset(tmp_path, PATTERNS, virtual(PATTERNS, "frames.h5"))
    lazy = read_scan(path)
    assert np.array_equal(np.asarray(lazy.patterns), scan.patterns)
    (tmp_path / "frames.h5").unlink()
    with pytest.raises(ValueError, match=rf"{PATTERNS}: its values are in /data of frames\.h5"):
        lazy.patterns[0]


def test_a_file_with_values_that_are_said_to_be_all_alike_is_read(tmp_path):
    def make(file, shape, dtype):
        file.create_dataset(f"{DETECTOR}/mask", shape, dtype, fillvalue=0)

    path = tmp_path / "scan.h5"
    write_scan(path, example_scan(mask=2))
    with h5py.File(path, "a") as file:
        shape = file[f"{DETECTOR}/mask"].shape
        del file[f"{DETECTOR}/mask"]
        make(file, shape, np.uint32)
    assert read_scan(path).mask.all()


def test_a_mask_that_leads_nowhere_is_not_left_out(tmp_path):
    path = tmp_path / "foreign.cxi"
    write_scan(path, example_scan(sampling=None, truth=False))
    with h5py.File(path, "a") as file:
        del file.attrs["ptyxrf_format"]
        file[f"{DETECTOR}/mask"] = h5py.ExternalLink("mask.h5", "/mask")
    with pytest.raises(ValueError, match=rf"{DETECTOR}/mask: .* link to /mask in mask\.h5"):
        read_scan(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_truth_that_is_not_finite_is_named(tmp_path, value):
    scan = example_scan()
    scan.truth["elements"][1, 2, 3] = value
    write_scan(tmp_path / "scan.h5", scan)
    with pytest.raises(ValueError, match=r"truth: expected finite numbers in elements"):
        read_scan(tmp_path / "scan.h5")
    with pytest.raises(ValueError, match=r"^truth: expected finite numbers in elements"):
        scan.replace(truth=scan.truth)


def test_true_maps_that_are_complex_are_named(tmp_path):
    scan, name = example_scan(), "/entry_1/truth_1/elements"
    write_scan(tmp_path / "scan.h5", scan)
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        del file[name]
        file[name] = scan.truth["elements"] + 1j
    with pytest.raises(ValueError, match=r"scan\.h5: truth: expected elements in real numbers, got complex"):
        read_scan(tmp_path / "scan.h5")


def test_pixels_that_are_no_lengths_are_named(tmp_path):
    """A distance so short that a pixel of the object is none."""
    scan = ptyxrf.simulate("cells", m=12, per_side=3)
    write_scan(tmp_path / "foreign.cxi", scan)
    with h5py.File(tmp_path / "foreign.cxi", "a") as file:
        del file.attrs["ptyxrf_format"]
        file[f"{DETECTOR}/distance"][...] = 1e-320
    with pytest.raises(ValueError, match=r"foreign\.cxi: .*translation: expected lengths .* make 0 m x 0 m"):
        read_scan(tmp_path / "foreign.cxi")


@pytest.mark.parametrize(
    ("name", "dataset", "value"),
    [
        ("elements", "image_3/data", np.nan),
        ("pattern_misfit", "process_1/pattern_misfit", np.nan),
        ("pattern_misfit", "process_1/pattern_misfit", np.inf),
        ("predicted_fluorescence", "fluorescence_1/predicted", -np.inf),
    ],
)
def test_a_result_that_is_not_finite_is_named(tmp_path, name, dataset, value):
    result = example_result()
    array = getattr(result, name)
    array[(1, 2, 3)[: array.ndim]] = value
    write_result(tmp_path / "result.h5", result)
    with pytest.raises(ValueError, match=rf"result\.h5: /entry_1/{dataset}: expected finite numbers"):
        read_result(tmp_path / "result.h5")


def test_columns_of_the_history_are_numbers(tmp_path):
    path, name = tmp_path / "result.h5", "/entry_1/history_1/sweeps"
    write_result(path, example_result())
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = np.zeros((2, 3))
    with pytest.raises(ValueError, match=rf"{name}: expected a number of type float64 for each record"):
        read_result(path)


def test_a_result_without_a_history_is_described_in_a_line(tmp_path, capsys):
    write_result(tmp_path / "result.h5", example_result(history=0))
    assert main(["info", str(tmp_path / "result.h5")]) == 2
    assert capsys.readouterr().err == "ptyxrf: error: history: expected at least one record, got none\n"


def test_masks_of_each_pattern_are_described(tmp_path, capsys):
    scan = ptyxrf.simulate("cells", m=16, per_side=4)
    mask = np.random.default_rng(2).random((scan.N, 16, 16)) > 0.25
    write_scan(tmp_path / "scan.h5", scan.replace(mask=mask))
    assert main(["info", str(tmp_path / "scan.h5"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["masked_fraction"] == pytest.approx(1 - mask.mean())


def test_channels_of_one_name_are_refused(tmp_path):
    path = write_maps(tmp_path / "maps.h5")
    with h5py.File(path, "a") as file:
        file["MAPS/channel_names"][1] = b"Fe"
    with pytest.raises(ValueError, match=r"maps\.h5: /MAPS/channel_names: expected different names"):
        read_maps(path)


@pytest.mark.parametrize("scale", [1e-80, 1e80])
def test_probes_whose_squares_are_no_numbers_are_refused(scale):
    scan = example_scan()
    with pytest.raises(ValueError, match=r"^probe: expected a sum of \|P\|\^2 between"):
        scan.replace(probe=scan.probe.astype(complex) * scale)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_damaged_image_is_named(tmp_path, ending):
    image = pytest.importorskip("PIL.Image")
    from ptyxrf.driver.simulation.images import read_image

    path = tmp_path / f"picture.{ending}"
    image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 60), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ValueError, match=rf"picture\.{ending}"):
        read_image(path)


def test_an_image_of_more_pixels_than_its_file_can_hold(tmp_path):
    image = pytest.importorskip("PIL.Image")
    from ptyxrf.driver.simulation.images import read_image

    path = tmp_path / "picture.png"
    image.fromarray(np.zeros((50, 60), np.uint8)).save(path)
    damaged_bytes = bytearray(path.read_bytes())
    damaged_bytes[17] = 1  # of the width
    path.write_bytes(damaged_bytes)
    with pytest.raises(ValueError, match=r"picture\.png: 65596 x 50 pixels cannot be in a file of"):
        read_image(path)


def test_infinite_counts_in_another_unit(tmp_path):
    path = write_maps(tmp_path / "maps.h5", unit=b"cts/s")
    with h5py.File(path, "a") as file:
        file["MAPS/XRF_fits"][0, 1, 2] = np.inf
    assert np.isinf(read_maps(path).counts).any()
