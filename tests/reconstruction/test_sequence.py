"""Ptychography, then fluorescence, then the joint fit from both: results, budgets, resumed runs."""

from functools import cache

import numpy as np
import pytest

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.checkpoint_file import read_checkpoint
from ptyxrf.driver.objective.links import LinearLink
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.reconstruction.sequence import _in_scale_of_maps
from ptyxrf.driver.simulation.simulate import simulate

#: Everything of the beam is unknown.
BEAM = {"refine_probe": True, "refine_positions": "each", "refine_intensities": True, "position_margin": 4}
SETTINGS = {"precision": "double", "max_iterations": 4, "loss_tolerance": 0, "noise_stop": False}
#: A search for its strength takes longer than all the rest: one test has it.
SETTINGS["fluorescence_prior"] = 2.0


@cache
def example(sampling="grid", m=12):
    more = {"fractional": True, "path": "random", "margin": 3, "photons": 300.0}
    return simulate("cells", sampling=sampling, m=m, per_side=5, overlap=0.7, elements=2, seed=2, **more)


def run(scan=None, **settings):
    return reconstruct(example() if scan is None else scan, **SETTINGS | settings)


@pytest.mark.parametrize("beam", [{}, {"refine_probe": True}, BEAM], ids=["known", "probe", "all"])
@pytest.mark.parametrize("sampling", ["grid", "scan"])
def test_the_fallback_is_what_two_calls_give(sampling, beam):
    scan = example(sampling)
    result = run(scan, sequential_first=True, **beam)
    alone = run(scan, method="ptychography", **beam)
    fallback = result.fallback
    for name in ("object", "probe", "pattern_misfit", "positions", "intensities"):
        np.testing.assert_array_equal(getattr(fallback, name), getattr(alone, name), err_msg=name)
    assert (fallback.method, fallback.reason, fallback.loss) == ("ptychography", alone.reason, alone.loss)
    assert fallback.quality.verdict == alone.quality.verdict
    found = scan.replace(probe=alone.probe)
    if alone.positions is not None:
        found = found.replace(positions=alone.positions)
    if alone.intensities is not None:
        found = found.replace(fluorescence_exposure=alone.intensities)
    maps = reconstruct(found, "fluorescence", **SETTINGS | {"noise_stop": True})
    if beam is not BEAM:  # of positions that have moved the corners may be others
        scale = np.abs(maps.elements).max()
        np.testing.assert_allclose(fallback.elements, maps.elements, rtol=0, atol=1e-8 * scale)
    assert fallback.predicted_fluorescence.shape == scan.fluorescence.shape
    assert not np.array_equal(result.object, fallback.object)
    assert result.history[0].loss < run(scan, sequential_first=False, **beam).history[0].loss


def test_stages_are_told_apart():
    seen = []
    result = run(sequential_first=True, callback=lambda record, view: seen.append((record.stage, view.stage)))
    assert [stage for stage, _ in seen] == [stage for _, stage in seen]
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["ptychography", "fluorescence", "joint"]
    assert {record.stage for record in result.history} == {"joint"}
    assert {record.stage for record in result.fallback.history} == {"ptychography"}
    sweeps = result.fallback.history[-1].sweeps
    assert result.history[0].note.startswith(
        f"start, ptychography ({sweeps:g} sweeps) and fluorescence alone"
    )
    assert result.history[0].seconds > result.fallback.history[-1].seconds


@pytest.mark.parametrize("stage", ["ptychography", "fluorescence", "joint"])
def test_a_callback_ends_the_whole(stage):
    result = run(sequential_first=True, callback=lambda record, view: record.stage == stage)
    assert result.reason is Reason.CALLBACK
    assert len(result.history) == 1
    assert (result.fallback.reason is Reason.CALLBACK) == (stage == "ptychography")


def test_budgets():
    """Iterations and sweeps are those of each stage; seconds are shared."""
    result = run(sequential_first=True, max_iterations=2)
    assert result.history[-1].iteration == result.fallback.history[-1].iteration == 2
    result = run(sequential_first=True, max_sweeps=12, max_iterations=100)
    for one in (result, result.fallback):
        assert 6 < one.history[-1].sweeps <= 12
        assert one.reason is Reason.SWEEPS
    result = run(sequential_first=True, max_seconds=0.0)
    assert result.reason is result.fallback.reason is Reason.SECONDS


def test_elements_without_data_keep_their_start():
    scan = example()
    maps = np.array(scan.fluorescence)
    maps[1] = np.nan
    starts = []

    def keep(record, view):
        if record.stage == "joint" and record.iteration == 0:
            starts.append(view.elements)

    result = run(scan.replace(fluorescence=maps), sequential_first=True, callback=keep)
    assert starts[0][0].any() and not starts[0][1].any()
    np.testing.assert_array_equal(result.fallback.elements, starts[0])


@pytest.mark.filterwarnings("ignore:link")
@pytest.mark.parametrize("offset", [0.0, -1.0])
def test_the_joint_fit_starts_from_the_object(offset):
    """In the phase in which vacuum is what the link says, whatever that of ptychography is."""
    starts = []

    def keep(record, view):
        if record.stage == "joint" and record.iteration == 0:
            starts.append(view.object)

    scan = example()
    for turn in (1, np.exp(0.7j)):
        one = scan.replace(probe=scan.probe * turn, truth=None)
        result = run(one, sequential_first=True, refine_probe=True, link_offset=offset, callback=keep)
        starts.append(result.fallback.object)
    np.testing.assert_allclose(starts[2], starts[0], atol=1e-2)
    z, part = starts[1], starts[0].real
    # the real part of the object of ptychography, but for its phase
    turns = np.exp(1j * np.linspace(0, 2 * np.pi, 3600))
    assert min(np.abs((turn * z).real - part).max() for turn in turns) < 1e-2


def test_fields_of_the_linear_link():
    rng = np.random.default_rng(0)
    maps, z = rng.random((2, 3, 4)), rng.random((3, 4)) + 1j * rng.random((3, 4))
    np.testing.assert_array_equal(LinearLink(np.ones(2)).fields_of(z, maps)["real_part"], z.real)
    np.testing.assert_allclose(LinearLink(np.ones(2), -1.0).fields_of(z, maps)["real_part"], z.imag)


@pytest.mark.filterwarnings("ignore:link")
def test_the_joint_fit_of_a_refractive_specimen_starts_where_ptychography_has_ended():
    """Its phase is unwrapped; what the maps do not absorb is left where only the phase is free."""
    scan = example().replace(truth=None, attenuation=[1e-3, 2e-3], phase_shift=[0.3, 0.1])
    starts = []

    def keep(record, view):
        if record.stage == "joint" and record.iteration == 0:
            starts.append(view.object)

    for free in ("phase", "both"):
        result = run(
            scan, link="refractive", free=free, sequential_first=True, max_iterations=8, callback=keep
        )
        z = result.fallback.object
        lit = np.abs(z) > 0.3
        turn = np.vdot(starts[-1][lit], z[lit])
        turned = starts[-1] * turn / abs(turn)
        if free == "both":
            np.testing.assert_allclose(turned, z, atol=1e-6)
        np.testing.assert_allclose(np.angle(turned[lit] / z[lit]), 0, atol=1e-2)


@pytest.mark.parametrize("refine_probe", [True, False])
def test_slopes_of_refined_intensities_return_to_them(refine_probe):
    """Patterns do not tell them from slopes of object and probe, whose product stays; maps absorb or not."""
    scan = example("scan").replace(truth=None, attenuation=[1e-3, 2e-3], phase_shift=[0.3, 0.1])
    rng = np.random.default_rng(5)
    maps = rng.random((2, *scan.shape))
    slopes, lever = np.array([0.004, -0.003]), scan.positions - scan.positions.mean(axis=0)
    flicker = 0.02 * rng.standard_normal((scan.N, 1))
    start = {"log_amplitude": flicker, "elements": maps}
    settings = Model(refine_probe=refine_probe, refine_intensities=True, precision="double")
    objective = Objective(scan, settings=settings, start=start)
    objective.value_and_gradient(objective.initial)
    rows, columns = (np.arange(n) - n / 2 for n in scan.shape)
    ramp = slopes[0] * rows[:, None] + slopes[1] * columns
    z = np.exp(-np.tensordot(scan.attenuation, maps, 1) - 0.1 - ramp + 0.3j)

    def waves(z):
        probe, moves = objective.probe_of(objective.initial), objective.beam.moves(objective.initial)
        windows = zip(np.exp(moves[:, 2]), scan.corners, strict=True)
        return [one * probe * z[r : r + scan.m, c : c + scan.m] for one, (r, c) in windows]

    before = waves(z)
    moved = _in_scale_of_maps(objective, z, maps)
    np.testing.assert_allclose(np.log(np.abs(moved)), -np.tensordot(scan.attenuation, maps, 1), atol=1e-9)
    np.testing.assert_allclose(waves(moved), before, rtol=1e-2)  # to the fractions of the positions
    found = objective.beam.moves(objective.initial)[:, 2]
    basis = np.column_stack([np.ones(scan.N), lever])
    np.testing.assert_allclose(np.linalg.lstsq(basis, found, rcond=None)[0][1:], -slopes, atol=1e-9)


# Checkpoints ----------------------------------------------------------------------------------------------


def assert_same(result, expected):
    for ours, other in ((result, expected), (result.fallback, expected.fallback)):
        assert len(ours.history) == len(other.history)
        for record, wanted in zip(ours.history, other.history, strict=True):
            for name in ("loss", "gradient_norm", "sweeps", "note", "stage", "errors", "ptychography_floor"):
                np.testing.assert_equal(getattr(record, name), getattr(wanted, name), err_msg=name)
        names = ("object", "elements", "probe", "pattern_misfit", "predicted_fluorescence", "positions")
        for name in (*names, "intensities", "pattern_background"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(other, name), err_msg=name)
        assert (ours.reason, ours.quality.verdict) == (other.reason, other.quality.verdict)


@pytest.mark.parametrize(
    ("beam", "precision"),
    [({"fluorescence_prior": "auto"}, "single"), (BEAM | {"refine_pattern_background": True}, "double")],
    ids=["known", "all"],
)
def test_going_on_in_each_stage(tmp_path, beam, precision):
    path, kept = tmp_path / "run.checkpoint.h5", {}

    def keep(record, view):
        if record.iteration in (1, 3) and path.exists():  # of the iteration before
            kept[record.stage, record.iteration] = path.read_bytes()

    settings = {"sequential_first": True, "precision": precision, **beam}
    whole = run(**settings)
    writing = {"checkpoint": path, "checkpoint_iterations": 1}
    assert_same(run(**settings, **writing, callback=keep), whole)
    stages = set()
    for (stage, number), content in kept.items():
        path.write_bytes(content)
        stages.add(read_checkpoint(path).facts["stage"])
        rest = run(**settings, checkpoint=path, resume=True)
        assert_same(rest, whole)
        if stage != "fluorescence" and number == 3:
            one = rest if stage == "joint" else rest.fallback
            assert one.settings["resumed_after"] == [2]
    assert stages == {"ptychography", "fluorescence", "joint"}


def test_other_fluorescence_is_refused_where_it_has_been_used(tmp_path):
    path = tmp_path / "run.checkpoint.h5"
    writing = {"sequential_first": True, "checkpoint": path, "checkpoint_iterations": 1}
    run(**writing)
    other = example().replace(fluorescence=np.array(example().fluorescence) + 1)
    with pytest.raises(ValueError, match="one of other data: fluorescence differs"):
        run(other, **writing, resume=True)


def test_resuming_without_a_checkpoint_says_so_once(tmp_path):
    with pytest.warns(UserWarning, match="there is no checkpoint") as said:
        run(sequential_first=True, checkpoint=tmp_path / "run.checkpoint.h5", resume=True)
    assert len([one for one in said if "no checkpoint" in str(one.message)]) == 1


def test_a_link_of_a_user_starts_from_the_maps():
    """It need not know how to come near an object."""

    class Own(LinearLink):
        def fields_of(self, z, elements, weights=None):
            raise NotImplementedError

    scan: Scan = example()
    result = run(scan, sequential_first=True, link=Own(scan.attenuation), max_iterations=0)
    np.testing.assert_array_equal(result.elements, result.fallback.elements)
    np.testing.assert_array_equal(result.object.real, 1)


def test_a_scan_without_fluorescence_is_refused_at_once():
    def never(record, view):
        raise AssertionError

    with pytest.raises(ValueError, match="fluorescence data for 'joint', got one without"):
        run(example().replace(fluorescence=None), sequential_first=True, callback=never)
