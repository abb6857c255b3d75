"""A run that goes on from a checkpoint has the history of one that never stopped; damage is found."""

import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scans import joint_scan

import ptyxrf
from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.checkpoint_file import OtherFormat, check_fields, read_checkpoint, read_fields
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS
from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.reconstruction.checkpoint import older_path
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.tile import whole_plane

ITERATIONS = 6


def run(scan=None, **settings):
    given = {"precision": "double", "max_iterations": ITERATIONS, "loss_tolerance": 0, "noise_stop": False}
    given["sequential_first"] = False  # budgets are those of one stage; see test_sequence.py
    given["fluorescence_prior"] = 2.0  # a search for its strength takes longer than all the rest
    return reconstruct(joint_scan(12, 4) if scan is None else scan, **(given | settings))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint.h5"


@pytest.fixture(scope="module")
def uninterrupted():
    """The result of a run from the start to the end."""
    return run()


def assert_same(result, expected):
    assert [record.iteration for record in result.history] == list(range(len(expected.history)))
    for record, other in zip(result.history, expected.history, strict=True):
        for name in ("loss", "gradient_norm", "products", "gradients", "sweeps", "step", "note", "errors"):
            np.testing.assert_equal(getattr(record, name), getattr(other, name), err_msg=name)
    names = ("object", "elements", "probe", "pattern_misfit", "predicted_fluorescence", "pattern_background")
    for name in (*names, "positions", "intensities", "matrix"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
    assert result.reason is expected.reason


@pytest.mark.parametrize(
    ("precision", "refine_probe", "probe_from_iteration"),
    [
        ("double", True, 3),
        ("single", True, 0),
        pytest.param("double", False, 0, marks=pytest.mark.slow),
        pytest.param("single", False, 0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
@pytest.mark.parametrize("method", ["joint", "ptychography", "fluorescence"])
def test_going_on_is_as_if_nothing_had_happened(
    path, method, solver, precision, refine_probe, probe_from_iteration
):
    """On the same number of ranks to the last bit; also while probe or maps are held, or when they are freed.

    The run that writes is not disturbed by it either.
    """
    settings = {
        "method": method, "solver": solver, "precision": precision, "refine_probe": refine_probe,
        "probe_from_iteration": probe_from_iteration,
        "fluorescence_prior": "auto" if precision == "double" else 2.0,
    }  # fmt: skip
    kept = {}

    def keep(record, view):
        if record.iteration in (2, 5):  # there is the checkpoint of the iteration before
            kept[record.iteration - 1] = path.read_bytes()

    whole = run(**settings)
    assert_same(run(**settings, checkpoint=path, checkpoint_iterations=1, callback=keep), whole)
    for number, content in kept.items():
        path.write_bytes(content)
        rest = run(**settings, checkpoint=path, resume=True)
        assert_same(rest, whole)
        assert rest.settings["resumed_after"] == [number]


def badly_recorded(sampling, m):
    """Return a scan whose positions are up to three pixels off, and the displacements back."""
    scan = simulate(
        "cells", m=m, per_side=4, overlap=0.6, elements=2, seed=2, photons=100.0, sampling=sampling,
        fractional=True, path="random", margin=3,
    )  # fmt: skip
    back = np.random.default_rng(4).integers(-3, 4, (scan.N, 2)).astype(float)
    return scan.replace(positions=scan.positions - back), back


@pytest.mark.parametrize(("solver", "precision"), [("quasi-newton", "single"), ("newton", "double")])
@pytest.mark.parametrize(
    ("method", "sampling", "m", "word", "late"),
    [
        ("joint", "scan", 12, "both", 0),
        ("joint", "grid", 12, "each", 2),
        ("ptychography", "grid", 11, "both", 0),
        ("ptychography", "grid", 12, "affine", 3),
        ("fluorescence", "scan", 12, "each", 0),
    ],
)
def test_going_on_with_positions_and_intensities(path, method, sampling, m, word, late, solver, precision):
    """To the last bit, also after corners have moved; while they are held, or when they are freed."""
    scan, back = badly_recorded(sampling, m)
    start = {"displacement": back} if word != "affine" else {"distortion": np.diag([0.2, -0.2])}
    settings = {
        "scan": scan, "start": start, "method": method, "solver": solver, "precision": precision,
        "refine_positions": word, "positions_from_iteration": late, "refine_probe": True,
        "refine_intensities": True, "position_margin": 5,
    }  # fmt: skip
    kept = {}

    def keep(record, view):
        if record.iteration in (2, 5):  # there is the checkpoint of the iteration before
            kept[record.iteration - 1] = path.read_bytes()

    whole = run(**settings)
    assert np.abs(whole.positions - scan.positions).max() > 1  # so that corners follow
    assert_same(run(**settings, checkpoint=path, checkpoint_iterations=1, callback=keep), whole)
    for number, content in kept.items():
        path.write_bytes(content)
        rest = run(**settings, checkpoint=path, resume=True)
        assert_same(rest, whole)
        assert rest.settings["resumed_after"] == [number]


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
def test_background_and_poisson_counts(path, solver):
    """Before and after the background is freed."""
    settings = {
        "solver": solver, "refine_pattern_background": True, "pattern_loss": "poisson", "max_iterations": 13,
    }  # fmt: skip
    whole = run(**settings)
    assert whole.pattern_background is not None
    for number in (4, 12):
        run(**settings | {"max_iterations": number}, checkpoint=path, checkpoint_iterations=1)
        rest = run(**settings, checkpoint=path, resume=True)
        assert_same(rest, whole)


@pytest.mark.parametrize("solver", ["quasi-newton", "newton"])
def test_the_refractive_link(path, solver):
    """While the maps are held and afterwards, with a material of no data; another material is refused."""
    scan = joint_scan(12, 4)
    scan = scan.replace(attenuation=0.1 * scan.attenuation, phase_shift=scan.attenuation)
    settings = {"solver": solver, "free": "both", "matrix": (0.05, 0.5), "refine_probe": True}
    whole = run(scan, **settings)
    assert whole.settings["link"] == "refractive" and whole.matrix.min() >= 0 and whole.matrix.any()
    for number in (1, 4):
        run(scan, **settings | {"max_iterations": number}, checkpoint=path, checkpoint_iterations=1)
        assert_same(run(scan, **settings, checkpoint=path, resume=True), whole)
    with pytest.raises(ValueError, match=r"another matrix \(there .*, here"):
        run(scan, **settings | {"matrix": (0.05, 0.6)}, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="of other data: phase_shift differs"):
        other = scan.replace(phase_shift=2 * scan.phase_shift)
        run(other, **settings, checkpoint=path, resume=True)


def test_the_paper_s_solver_and_stops(path):
    """A stop that counts iterations counts those before the checkpoint."""
    settings = {"solver": "paper", "loss_tolerance": 0.5, "max_iterations": 30}
    whole = run(**settings)
    assert whole.reason.name == "LOSS" and 3 < whole.history[-1].iteration < 30
    for stop in range(1, whole.history[-1].iteration + 1):
        run(**settings | {"max_iterations": stop}, checkpoint=path, checkpoint_iterations=stop)
        assert_same(run(**settings, checkpoint=path, resume=True), whole)


def test_the_stop_at_the_noise(path):
    settings = {"noise_stop": True, "fluorescence_prior": "none", "max_iterations": 60}
    whole = run(**settings)
    assert whole.reason.name == "NOISE"
    for stop in (2, whole.history[-1].iteration - 1):
        run(**settings | {"max_iterations": stop}, checkpoint=path, checkpoint_iterations=stop)
        assert_same(run(**settings, checkpoint=path, resume=True), whole)


def test_again_and_again(path, uninterrupted):
    run(max_iterations=2, checkpoint=path, checkpoint_iterations=1)
    for stop in (3, 6):
        run(max_iterations=stop, checkpoint=path, checkpoint_iterations=1, resume=True)
    rest = run(checkpoint=path, resume=True)
    assert_same(rest, uninterrupted)
    assert rest.settings["resumed_after"] == [2, 3, 6]
    seconds = [record.seconds for record in rest.history]
    assert seconds == sorted(seconds)


def test_when_they_are_written(path):
    """By number, by time, and then the two last ones are there."""
    run(max_iterations=7, checkpoint=path, checkpoint_iterations=3)
    assert read_checkpoint(path).facts["iteration"] == 6
    assert read_checkpoint(older_path(path)).facts["iteration"] == 3
    ptyxrf.remove_checkpoints(path)
    assert not list(path.parent.iterdir())
    run(max_iterations=7, checkpoint=path, checkpoint_seconds=1e-9)
    assert read_checkpoint(path).facts["iteration"] == 7
    assert read_checkpoint(older_path(path)).facts["iteration"] == 6
    ptyxrf.remove_checkpoints(path)
    run(max_iterations=2, checkpoint=path)
    run(max_iterations=2, checkpoint=path, checkpoint_seconds=0)
    assert not list(path.parent.iterdir())


def test_maps_of_the_fluorescence_alone_are_not_computed_again(path, monkeypatch):
    run(max_iterations=1, checkpoint=path, checkpoint_iterations=1)
    monkeypatch.setattr("ptyxrf.driver.reconstruction.stage.first_maps", None)
    rest = run(max_iterations=2, checkpoint=path, resume=True)
    assert "maps of the fluorescence alone" in rest.history[0].note


def test_a_probe_that_was_found_is_not_searched_for_again(path, monkeypatch):
    settings = {"method": "ptychography", "refine_probe": True, "probe_start": "search", "modes": 2}
    whole = run(**settings)
    run(max_iterations=2, checkpoint=path, checkpoint_iterations=1, **settings)
    monkeypatch.setattr("ptyxrf.driver.reconstruction.reconstruct.find_probe", None)
    rest = run(checkpoint=path, resume=True, **settings)
    assert_same(rest, whole)
    assert rest.settings["probe_ranking"] == whole.settings["probe_ranking"]
    assert len(rest.settings["probe_ranking"]) == 3
    with pytest.raises(ValueError, match=r"another probe_start \(there .*search.*, here .*zone-plate"):
        run(checkpoint=path, resume=True, **(settings | {"probe_start": "zone-plate"}))
    with pytest.raises(ValueError, match=r"another modes \(there 2, here 1\)"):
        run(checkpoint=path, resume=True, **(settings | {"modes": 1}))


def test_none_there_begins_at_the_start(path, uninterrupted):
    with pytest.warns(
        UserWarning, match=r"there is no checkpoint .*run.checkpoint.h5: beginning at the start"
    ):
        result = run(checkpoint=path, resume=True)
    assert_same(result, uninterrupted)


def test_only_the_older_one_is_there(path, uninterrupted):
    """As after the end between the two renames."""
    run(max_iterations=4, checkpoint=path, checkpoint_iterations=2)
    path.unlink()
    rest = run(checkpoint=path, resume=True)
    assert rest.settings["resumed_after"] == [2]
    assert_same(rest, uninterrupted)


CHANGES = {
    "method": "ptychography",
    "alpha": 2.0,
    "alpha_scale": 3.0,
    "curvature": "gauss-newton",
    "precision": "single",
    "refine_probe": True,
    "rescale_probe": True,
    "link_offset": 0.5,
    "nonnegative": False,
    "inner_limit": 7,
    "fluorescence_first": False,
    "sequential_first": True,
    "preconditioner": False,
    "solver": "newton",
    "start": {"elements": 0.1},
    "pattern_loss": "poisson",
    "refine_pattern_background": True,
    "memory": "cached",
    "refine_positions": "each",
    "refine_intensities": True,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "run.checkpoint.h5"
    run(max_iterations=2, checkpoint=path, checkpoint_iterations=1)
    return path


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_are_refused(written, name):
    with pytest.raises(ValueError, match=rf"run.checkpoint.h5: .* another (.*, )?{name} \(there .*, here "):
        run(checkpoint=written, resume=True, **{name: CHANGES[name]})


def test_a_checkpoint_of_format_1_is_refused(path, monkeypatch, capsys):
    """In one sentence, by a run that resumes and by `ptyxrf info`; the older checkpoint is not taken."""
    with monkeypatch.context() as earlier:
        earlier.setattr("ptyxrf.driver.reconstruction.checkpoint.FORMAT", 1)
        run(max_iterations=1, checkpoint=path, checkpoint_iterations=1)
    shutil.copy(path, older_path(path))
    message = f"{path}: written by another version of ptyxrf (format 1, known is 3)"
    with pytest.raises(OtherFormat) as raised:
        run(checkpoint=path, resume=True)
    assert str(raised.value) == message
    assert main(["info", str(path)]) == 2
    assert capsys.readouterr().err == f"ptyxrf: error: {message}\n"


def test_another_iteration_of_the_probe_is_refused(path):
    run(max_iterations=1, checkpoint=path, checkpoint_iterations=1, refine_probe=True)
    run(max_iterations=1, checkpoint=path, resume=True, refine_probe=True, probe_from_iteration=0)
    with pytest.raises(ValueError, match=r"probe_from_iteration \(there 0, here 1\)"):
        run(max_iterations=1, checkpoint=path, resume=True, refine_probe=True, probe_from_iteration=1)


def test_another_link_of_the_same_class_is_refused(path):
    """A link object agrees by all that it depends on, not by its class alone."""
    link, other = (LinearLink(np.array([1.0, factor])) for factor in (0.5, 0.6))
    run(max_iterations=1, checkpoint=path, checkpoint_iterations=1, link=link)
    run(max_iterations=1, checkpoint=path, resume=True, link=LinearLink(np.array([1.0, 0.5])))
    with pytest.raises(ValueError, match=r"settings of this .* another link \(there .*0.5"):
        run(max_iterations=1, checkpoint=path, resume=True, link=other)


def changed(name):
    scan = joint_scan(12, 4)
    if name == "patterns":
        patterns = np.array(scan.patterns)
        patterns[7, 3, 4] += 1
        return scan.replace(patterns=patterns)
    if name == "fluorescence":
        maps = np.array(scan.fluorescence)
        maps[1, -1, -1] += 1
        return scan.replace(fluorescence=maps)
    return scan.replace(**{name: np.array(getattr(scan, name)) * 1.0000001})


@pytest.mark.parametrize("name", ["patterns", "fluorescence", "exposure", "probe", "attenuation"])
def test_another_scan_is_refused(written, name):
    """Down to one count in one pixel of one pattern."""
    with pytest.raises(ValueError, match=rf"checkpoint of this scan, got one of other data: {name} differs"):
        run(changed(name), checkpoint=written, resume=True)


def test_budgets_and_stops_may_change(written):
    settings = {
        "max_iterations": 3, "max_sweeps": 1000, "max_seconds": 1000, "gradient_tolerance": 0,
        "loss_tolerance": 1e-9, "noise_stop": True, "checkpoint_seconds": 5,
    }  # fmt: skip
    assert run(checkpoint=written, resume=True, **settings).history[-1].iteration == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resume": True}, "resume: expected the path of a checkpoint beside it"),
        ({"resume": "yes"}, "resume: expected true or false, got 'yes'"),
        ({"checkpoint": "nowhere/c.h5"}, "nowhere/c.h5: cannot be written"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds: expected a number of at least 0, got -1"),
        ({"checkpoint_iterations": 1.5}, "checkpoint_iterations: expected an integer of at least 0"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**settings)


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "another kind of file"])
def test_a_damaged_one_is_passed_over(path, uninterrupted, damage):
    run(max_iterations=4, checkpoint=path, checkpoint_iterations=2)
    size = path.stat().st_size
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: size // 2])
    elif damage == "flipped":
        flip(
            path,
            path.read_bytes().index(read_fields(path, "joint", *one_rank(path))["unknowns"][0, 9].tobytes()),
        )
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        ptyxrf.write_scan(path, joint_scan(12, 4))
    before = older_path(path).read_bytes()
    with pytest.warns(UserWarning, match=r"run.checkpoint.h5: .*; going on from the one before it"):
        rest = run(checkpoint=path, resume=True, checkpoint_seconds=0)
    assert_same(rest, uninterrupted)
    # the first that is written then replaces the damaged one, not the good one
    with pytest.warns(UserWarning, match="going on from the one before it"):
        run(checkpoint=path, resume=True, checkpoint_iterations=5, max_iterations=5)
    assert older_path(path).read_bytes() == before
    assert read_checkpoint(path).facts["iteration"] == 5


def test_both_damaged_is_an_error(path):
    run(max_iterations=2, checkpoint=path, checkpoint_iterations=1)
    for one in (path, older_path(path)):
        flip(one, 5)
    with pytest.raises(ValueError, match=r"no checkpoint is whole: .*run.checkpoint.h5: .*checkpoint-older"):
        run(checkpoint=path, resume=True)


def one_rank(path):
    scan = joint_scan(12, 4)
    return 1 + scan.N_e, whole_plane(scan.shape, scan.N), Ranks()


def everything(path):
    content = read_checkpoint(path)
    return content.facts, content.history, content.arrays, read_fields(path, "joint", *one_rank(path))


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_flipped_byte_passes(path, tmp_path, count):
    """Anywhere in the file: it is found, or nobody reads it."""
    run(max_iterations=2, checkpoint=path, checkpoint_iterations=2, refine_probe=True)
    expected, whole = everything(path), path.read_bytes()
    damaged = tmp_path / "damaged.h5"
    rng = random.Random(0)
    found = 0
    # the first kilobytes are structure, most of the rest is numbers
    places = [rng.randrange(size) for _ in range(count // 2) for size in (len(whole), 6000)]
    for place in places:
        damaged.write_bytes(whole)
        flip(damaged, place)
        try:
            np.testing.assert_equal(everything(damaged), expected)
        except READ_ERRORS:
            found += 1
    assert found > count / 3
    for length in range(0, len(whole), len(whole) // 20):
        damaged.write_bytes(whole[:length])
        with pytest.raises(READ_ERRORS):
            everything(damaged)


def test_a_flipped_bit_in_a_field_is_found_by_those_who_only_look(path):
    run(max_iterations=1, checkpoint=path, checkpoint_iterations=1)
    field = read_fields(path, "joint", *one_rank(path))["unknowns"]
    assert check_fields(path) == field.shape[1:]
    flip(path, path.read_bytes().index(field[0, 9].tobytes()))
    with pytest.raises(DamagedFile) as raised:
        check_fields(path)
    assert (raised.value.path, raised.value.dataset) == (path, "/entry_1/checkpoint_1/fields/joint/unknowns")


def test_a_lost_or_foreign_dataset_is_found(path):
    import h5py

    run(max_iterations=2, checkpoint=path, checkpoint_iterations=2)
    spare = path.with_name("spare.h5")
    shutil.copy(path, spare)
    with h5py.File(path, "r+") as file:
        del file["/entry_1/checkpoint_1/fields/joint/unknowns"]
    with pytest.raises(ValueError, match="fields/joint/unknowns: expected the datasets that were written"):
        read_checkpoint(path)
    with h5py.File(spare, "r+") as file:
        file["/entry_1/history_1/loss"][0] = 1.0
    with pytest.raises(ValueError, match="history_1/loss: does not fit its checksum"):
        read_checkpoint(spare)


@pytest.mark.parametrize("count", [0, 1])
def test_another_number_of_fields_is_found(written, tmp_path, count):
    """HDF5 gives them new checksums, and one field could be spread over all."""
    import h5py

    path, name = tmp_path / "run.checkpoint.h5", "/entry_1/checkpoint_1/fields/joint/unknowns"
    shutil.copy(written, path)
    with h5py.File(path, "r+") as file:
        values = file[name][:count]
        del file[name]
        file[name] = values
    with pytest.raises(ValueError, match=rf"{name}: expected fields of shape \(\d, .*, got \({count}, "):
        run(checkpoint=path, resume=True)


@pytest.mark.parametrize("kind", ["texts", "truth", "terabytes", "infinity"])
def test_fields_that_are_no_real_numbers_are_named(written, tmp_path, kind):
    """By those who go on and by those who only look."""
    import h5py

    path, name = tmp_path / "run.checkpoint.h5", "/entry_1/checkpoint_1/fields/joint/unknowns"
    shutil.copy(written, path)
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, {"texts": h5py.string_dtype(), "truth": bool}.get(kind, "f8")
        del file[name]
        if kind == "infinity":
            file[name] = np.full(shape, np.inf)
        elif kind == "terabytes":
            file.create_dataset(name, (10**11, *shape[1:]), dtype, fillvalue=1)
        else:
            file.create_dataset(name, data=np.full(shape, "1" if kind == "texts" else True, dtype))
    said = "expected real numbers in 3 dim.*, got|has the shape .*cannot be|expected finite numbers"
    message = rf"run.checkpoint.h5: {name}: ({said})"
    with pytest.raises(ValueError, match=message):
        check_fields(path)
    with pytest.raises(ValueError, match=rf"^resume: no checkpoint is whole: .*{message}"):
        run(checkpoint=path, resume=True)


KILLED = """
import os, sys
from ptyxrf.driver.files.whole_file import whole_file
with whole_file(sys.argv[1]) as temporary:
    print(temporary, flush=True)
    os._exit(1)
"""


def killed_while_writing(path):
    """Return the temporary file that a process has left."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def test_remains_of_a_killed_process_go(path):
    """The temporary file of a checkpoint that was never finished; nobody else's."""
    ours, other = (killed_while_writing(file) for file in (path, path.with_name("else.checkpoint.h5")))
    assert ours.exists()
    run(max_iterations=1, checkpoint=path)
    assert not ours.exists() and other.exists()


def test_a_failure_while_writing_leaves_the_last_one(path, monkeypatch):
    run(max_iterations=1, checkpoint=path, checkpoint_iterations=1)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ptyxrf.driver.files.tiled_file.open_to_write", fail)
    with pytest.raises(ValueError, match=r"run.checkpoint.h5: cannot be written .*No space left"):
        run(checkpoint=path, checkpoint_iterations=2, resume=True)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_lazy_patterns_have_the_same_digest(path, tmp_path, uninterrupted):
    """A scan in memory and the same in a file, whose patterns are read in blocks."""
    ptyxrf.write_scan(tmp_path / "scan.h5", joint_scan(12, 4))
    run(max_iterations=3, checkpoint=path, checkpoint_iterations=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rest = run(ptyxrf.read_scan(tmp_path / "scan.h5"), checkpoint=path, resume=True)
    assert rest.settings["resumed_after"] == [3]
    assert_same(rest, uninterrupted)
