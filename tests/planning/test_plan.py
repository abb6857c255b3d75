"""Plans: exact counts, memory, the cost model, and their text."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

from ptyxrf.driver.command.plan_text import plan_text
from ptyxrf.driver.data.machine_memory import machine_memory
from ptyxrf.driver.files.file_errors import DamagedFile
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.pictures.plan_picture import write_plan_picture
from ptyxrf.driver.planning.load import regular_load
from ptyxrf.driver.planning.machine import Machine, Network, default_path, read_machine, write_machine
from ptyxrf.driver.planning.memory import Share, memory_of
from ptyxrf.driver.planning.memory_settings import IDLE
from ptyxrf.driver.planning.plan import make_plan
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.driver.simulation.simulate import simulate
from ptyxrf.parallel.partition import Partition
from ptyxrf.parallel.tile import tile_of

#: What a share of the memory takes from a load.
SHARED = ("positions", "owned", "covered", "rows", "columns")

MACHINE = Machine(
    name="made up",
    pattern_seconds={"single": {64: 1e-5, 128: 5e-5}, "double": {64: 2e-5, 128: 1e-4}},
    pixel_seconds={"single": 2e-9, "double": 4e-9},
    within_node=Network(1e-6, 1e10),
    between_nodes=Network(2e-6, 1e10),
    reduction_seconds=2e-6,
)


@pytest.mark.parametrize("sampling", ["grid", "scan", None])
def test_counts_are_those_of_the_tiles(sampling):
    """What load_of sums up over edges, tile by tile."""
    scan = simulate("cells", m=12, per_side=(7, 5), overlap=0.7, sampling=sampling, elements=2)
    problem = ProblemSize.of_scan(scan)
    plan = make_plan(problem, 6)
    partition = Partition(scan.corners, 12, scan.shape, 6, problem.reach)
    fields = {"grid": 3, "scan": 3, None: 2}[sampling]
    for rank in range(6):
        tile = tile_of(partition, rank, scan.corners)
        assert plan.load.positions[rank] == len(tile.positions)
        assert plan.load.messages[rank] == len(tile.sources) + len(tile.destinations)
        shared = [*tile.sources, *tile.destinations]
        assert plan.load.bytes[rank] == 4 * fields * sum(other.pixels.size for other in shared)
        outer = max(tile.last_use, default=0) - min(tile.first_use, default=0)
        assert plan.load.inner[rank] == len(tile.positions) - max(outer, 0)
        assert (plan.load.owned[rank], plan.load.covered[rank]) == (tile.owned.size, tile.covered.size)
    assert make_plan(scan, 6).facts() == plan.facts()
    facts = plan.facts()
    assert facts["bytes_of_all_ranks"] == plan.load.bytes.sum()
    json.dumps(facts)


def test_the_facilitys_scan():
    """A million patterns on 10,000 ranks: balanced, and told in words."""
    plan = make_plan(ProblemSize.from_numbers(10_000, 1_000_000, 128), 10_000, nodes=100, machine=MACHINE)
    assert plan.partition.balance <= 1.1
    assert 0.5 < plan.efficiency < 1
    assert plan.most_ranks(0.8) < plan.most_ranks(0.5) <= 1_000_000
    assert plan.estimate(10_000) == pytest.approx(plan.efficiency)
    text = plan_text(plan)
    for words in ("10,000 on 100 node(s)", "balance 1.000", "more ranks gain little", "a node", "made up"):
        assert words in text
    assert "assumed" not in text


def test_one_rank_and_two():
    problem = ProblemSize.from_numbers(1024, 1024, 128)
    one, two = make_plan(problem, 1, machine=MACHINE), make_plan(problem, 2, machine=MACHINE)
    assert one.efficiency == pytest.approx(1)
    assert (one.load.messages.sum(), one.seconds.halo, one.seconds.reductions) == (0, 0, 0)
    expected = 1024 * 5e-5 + 2 * 1024**2 * 2e-9
    assert one.seconds.total == pytest.approx(expected)
    covered = two.load.covered.max()
    compute = 512 * 5e-5 + 2 * covered * 2e-9
    assert two.seconds.computing == pytest.approx(compute)
    # two messages, hidden but for their latency
    assert two.seconds.halo == pytest.approx(2e-6)
    assert two.seconds.reductions == pytest.approx(2e-6)
    assert two.efficiency == pytest.approx(expected / (2 * (compute + 4e-6)))


def test_what_costs_more():
    """Time grows with the probe refined, with maps, with modes and with precision."""

    def seconds(model=None, **changes):
        numbers = {
            "n": 600,
            "positions": 400,
            "m": 64,
            "model": Model(**{"precision": "single"} | (model or {})),
        }
        return make_plan(ProblemSize.from_numbers(**numbers | changes), 4, machine=MACHINE).seconds.total

    plain = seconds()
    assert seconds(modes=3) > 2 * plain
    assert seconds({"precision": "double"}) == pytest.approx(2 * plain, rel=0.02)
    assert seconds({"refine_probe": True}) > 1.3 * plain
    for sampling in ("grid", "scan"):
        assert seconds(elements=1, sampling=sampling) > plain
        assert seconds(elements=3, sampling=sampling) > seconds(elements=1, sampling=sampling)
    assert seconds({"method": "fluorescence"}, elements=1, sampling="grid") < plain


def test_positions_that_are_refined_widen_the_halo():
    """The halo has their margin, and the probes of all positions are shifted."""

    def plan(**model):
        problem = ProblemSize.from_numbers(600, 400, 64, model=Model(precision="single", **model))
        return make_plan(problem, 4, machine=MACHINE)

    fixed, near, far = plan(), *(plan(refine_positions="each", position_margin=margin) for margin in (4, 16))
    assert fixed.load.covered.max() < near.load.covered.max() < far.load.covered.max()
    assert not fixed.problem.fractional and near.problem.fractional
    # the probe of each position moves: none is kept
    assert near.memory.max() - fixed.memory.max() < fixed.load.positions.max() * 64**2 * 8


def test_regular_tiles_stand_for_real_ones():
    problem = ProblemSize.from_numbers(4000, 40_000, 64)
    for ranks in (1, 16, 256, 4096):
        real, regular = make_plan(problem, ranks).load, regular_load(problem, ranks, 64)
        assert regular.positions[0] == pytest.approx(real.positions.mean(), rel=0.1)
        assert regular.covered[0] == pytest.approx(real.covered.mean(), rel=0.2)
        assert regular.bytes[0] == pytest.approx(real.bytes.mean(), rel=0.3)


def test_pattern_times_between_measured_sizes():
    times = [MACHINE.pattern_time(m, "single") for m in (32, 64, 90, 128, 256)]
    assert times == sorted(times)
    assert times[1] == pytest.approx(1e-5) and times[3] == pytest.approx(5e-5)
    assert MACHINE.pattern_time(64, "single", 3) == pytest.approx(3e-5)


@pytest.mark.parametrize(
    "model", [{}, {"curvature": "full"}, {"refine_positions": "each"}, {"precision": "double"}]
)
def test_probes_of_positions_are_planned_as_they_are_kept(model):
    """None where an expansion shifts them; its terms count then."""
    scan = simulate("cells", m=16, per_side=4, overlap=0.7, sampling=None, fractional=True)
    settings = Model(**{"method": "ptychography", "precision": "single", "refine_probe": True} | model)
    problem = ProblemSize.of_scan(scan, settings)
    positioned = Objective(scan, settings=settings.replace(memory="cached")).terms.positioned
    assert positioned.split == problem.expanded
    parts = memory_of(problem, Share.whole(problem), "cached")
    without = memory_of(dataclasses.replace(problem, fractional=False), Share.whole(problem), "cached")
    if problem.expanded:
        assert positioned.stack.nbytes == parts["patterns"] - without["patterns"] == 0
        assert parts["probe"] - without["probe"] > 4 * positioned.adjoint()._sum.nbytes
    else:
        assert parts["probe"] == without["probe"]


def test_memory_is_that_of_the_arrays():
    """What the objective holds, array by array, is what the model says for its parts."""
    scan = simulate("cells", m=16, per_side=8, overlap=0.7, sampling="grid", elements=2, fractional=True)
    objective = Objective(scan, precision="single")
    problem = ProblemSize.of_scan(scan)
    share = Share.whole(problem)
    parts = memory_of(problem, share, "cached")
    diffraction = objective.terms.diffraction
    held = diffraction.amplitudes.nbytes + diffraction.kept_bytes + objective.terms.positioned.stack.nbytes
    assert parts["patterns"] == held
    low = memory_of(problem, share)
    assert parts["patterns"] - low["patterns"] == diffraction.kept_bytes
    assert (
        memory_of(dataclasses.replace(problem, precision="double"), share, "cached")["patterns"] == 2 * held
    )
    assert parts["total"] == sum(size for name, size in parts.items() if name != "total")
    shared = memory_of(problem, dataclasses.replace(share, ranks=2))
    assert shared["total"] > low["total"]
    counted = scan.replace(patterns=np.round(scan.patterns).astype(np.uint16))
    held = Objective(counted, precision="single", memory="low").terms.diffraction.amplitudes.values.nbytes
    parts = memory_of(ProblemSize.of_scan(counted), share)
    assert low["patterns"] - parts["patterns"] == held == 2 * scan.N * 16 * 16
    assert parts["total"] - parts["reading"] == low["total"] - low["reading"] - held
    alone = memory_of(dataclasses.replace(problem, method="fluorescence", fractional=False), share)
    assert alone["patterns"] == alone["reading"] == 0


def test_settings_that_fit_a_node():
    """What the nodes of a plan take, and how many nodes do what they promise."""
    problem = ProblemSize.from_numbers(4000, 40_000, 64)
    plan = make_plan(problem, 8, nodes=2, machine=MACHINE, node_memory=4e9)
    found = {(each.memory, each.precision): each for each in plan.memory_settings}
    assert list(found) == [(m, p) for p in ("single", "double") for m in ("low", "disk", "cached")]
    share = Share(*(getattr(plan.load, name) for name in SHARED), 8)
    for (memory, precision), each in found.items():
        sizes = dataclasses.replace(problem, precision=precision)
        halves = memory_of(sizes, share, memory)["total"].reshape(2, 4).sum(axis=1)
        assert each.node_bytes == pytest.approx(halves.max() + 4 * IDLE, abs=1)
        patterns = 20_000 * 64 * 64 * {"single": 4, "double": 8}[precision]
        assert each.disk_bytes == (patterns if memory == "disk" else 0)
        assert each.solver == ("newton" if memory == "cached" else "quasi-newton")
    low, disk, cached = (found[memory, "single"] for memory in ("low", "disk", "cached"))
    assert low.fits and low.nodes == 2 and not cached.fits and cached.nodes > 2
    assert disk.node_bytes < low.node_bytes - 0.95 * disk.disk_bytes
    more = make_plan(problem, 4 * cached.nodes, nodes=cached.nodes, node_memory=4.2e9)
    assert more.memory_settings[2].fits
    less = make_plan(problem, 4 * (cached.nodes - 1), nodes=cached.nodes - 1, node_memory=3.8e9)
    assert not less.memory_settings[2].fits
    counts = ProblemSize.from_numbers(4000, 40_000, 64, counts=True)
    halved = make_plan(counts, 8, nodes=2, node_memory=4e9).memory_settings
    assert low.node_bytes - halved[0].node_bytes == pytest.approx(20_000 * 64 * 64 * 2, rel=1e-6)
    assert [each.node_bytes for each in halved[1:3]] == [disk.node_bytes, cached.node_bytes]
    text = plan_text(plan)
    assert "in 4 GB a node" in text
    assert "--solver quasi-newton --memory low    --precision single  fits: " in text
    assert (
        f"does not fit: {cached.node_bytes / 1e9:.3g} GB a node; about {cached.nodes} nodes have it" in text
    )
    assert "MB of its disk" in text
    # what idle ranks take is too much already
    small = make_plan(problem, 8, nodes=2, node_memory=1e9)
    assert [each.nodes for each in small.memory_settings] == [None] * 6
    assert "no number of nodes has it" in plan_text(small)
    assert make_plan(problem, 8).node_memory == machine_memory()


def test_memory_falls_with_ranks():
    problem = ProblemSize.from_numbers(3000, 3600, 64, elements=2, sampling="grid")
    most = [make_plan(problem, ranks).memory.max() for ranks in (1, 2, 4, 8)]
    assert all(later < 0.62 * earlier for earlier, later in pairwise(most))


def test_machine_files(tmp_path, monkeypatch):
    path = tmp_path / "machine.json"
    write_machine(path, MACHINE)
    assert read_machine(path) == MACHINE
    for text, message in (
        ("{}", "expected what ptyxrf bench writes"),
        ("not JSON", "expected what ptyxrf bench writes"),
        (path.read_text().replace("2e-06", "-1", 1), "expected what ptyxrf bench writes"),
    ):
        path.write_text(text)
        with pytest.raises(DamagedFile, match=message):
            read_machine(path)
    with pytest.raises(DamagedFile, match="cannot be read"):
        read_machine(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "ptyxrf" / "machine.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ranks": 0}, "ranks: expected at least 1"),
        ({"ranks": 4, "nodes": 5}, "nodes: expected from 1 to 4"),
        ({"ranks": 4, "nodes": 0}, "nodes: expected from 1 to 4"),
    ],
)
def test_bad_plans(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_plan(ProblemSize.from_numbers(100, 9, 10), **arguments)
    with pytest.raises(ValueError, match="m: expected patterns of at most the 8 pixels"):
        ProblemSize.from_numbers(8, 1, 9)


def test_more_ranks_than_positions():
    plan = make_plan(ProblemSize.from_numbers(40, 3, 10), 8)
    assert plan.load.positions.tolist().count(0) == 5
    assert "5 ranks have no position: use at most 3" in plan_text(plan)


@pytest.mark.parametrize("ranks", [1, 7, 3000])
def test_picture(tmp_path, ranks):
    plan = make_plan(ProblemSize.from_numbers(2000, 10_000, 32), ranks)
    write_plan_picture(tmp_path / "plan.png", plan)
    data = (tmp_path / "plan.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000
