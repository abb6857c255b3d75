"""Weak and strong scaling of Hessian products, beside an Allreduce of the whole object in the same run.

    python benchmarks/scaling.py [--ranks 1 2] [--n 1024 --m 128 --per-side 32] [--weak] [--out DIR]

Each number of ranks is launched with mpiexec in turn, `--rounds` times, so that all see the same machine.
Strong scaling: the same scan on more ranks. Weak scaling (`--weak`): as many positions and pixels per rank.
The patterns are generated when they are sliced, so that each rank holds only its own. Communication is the
time that a rank spends in packing, starting, testing and awaiting messages, and the last rank in the
reduction; the time that the others wait there for the last rank is counted separately. The results are
scaling.json and scaling.png: seconds per product, the share of communication, messages and bytes, memory
above that of an idle rank; the same product with the object replicated and all-reduced; and the prediction of
`ptyxrf plan` with the constants of `ptyxrf bench`, whose messages and bytes must agree exactly.
slurm/scaling.sbatch measures over the nodes of an allocation.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.planning.machine import Machine, read_machine
from ptyxrf.driver.planning.plan import Plan, make_plan
from ptyxrf.driver.planning.problem_size import ProblemSize
from ptyxrf.driver.simulation.zone_plate import zone_plate_probe


class MadePatterns:
    """Patterns (N, m, m) of float32 that are generated when they are sliced, each from its own seed."""

    def __init__(self, count: int, m: int) -> None:
        self.shape, self.dtype = (count, m, m), np.dtype(np.float32)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        wanted = np.arange(self.shape[0])[key]
        made = [
            np.random.default_rng(int(j)).random(self.shape[1:], dtype=np.float32) * 100.0
            for j in np.atleast_1d(wanted)
        ]
        return made[0] if np.ndim(wanted) == 0 else np.stack(made)


def make_scan(n: int, m: int, per_side: int) -> Scan:
    """Return a raster of per_side^2 positions over n^2 pixels."""
    places = np.round(np.linspace(0, n - m, per_side))
    positions = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
    return Scan(MadePatterns(len(positions), m), positions, zone_plate_probe(m), shape=(n, n))


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Return the peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def slowest_seconds(comm: Any, repeats: int, call: Any) -> list[float]:
    """Return the time of each repetition of a call on the slowest rank."""
    from mpi4py import MPI

    seconds = []
    for _ in range(repeats):
        comm.Barrier()
        began = time.perf_counter()
        call()
        seconds.append(comm.allreduce(time.perf_counter() - began, MPI.MAX))
    return seconds


def measured_products(objective: Any, comm: Any, repeats: int) -> dict[str, Any]:
    """Time Hessian products, and the communication within them."""
    rng = np.random.default_rng(comm.Get_rank())
    direction = rng.standard_normal(objective.size).astype(objective.real)

    def product() -> None:
        objective.product_with_dots(direction, direction)

    for _ in range(2):
        product()
    used = peak()
    traffic = objective.ranks.traffic
    before = dataclasses.replace(traffic)
    products = slowest_seconds(comm, repeats, product)
    messages, sent, exchange, reductions = (
        (getattr(traffic, name) - getattr(before, name)) / repeats
        for name in ("messages", "bytes", "exchange_seconds", "reductions")
    )
    # the rank that comes last spends the time of the reduction there, the others wait for it
    reducing, waiting = [], []
    for _ in range(repeats):
        comm.Barrier()
        began = traffic.reduction_seconds
        product()
        spent = comm.allgather(traffic.reduction_seconds - began)
        reducing.append(min(spent))
        waiting.append(statistics.mean(spent) - min(spent))
    return {
        "product_seconds": statistics.median(products),
        "exchange_seconds": statistics.mean(comm.allgather(exchange)),
        "reduction_seconds": statistics.median(reducing),
        "waiting_seconds": statistics.median(waiting),
        "reductions": reductions,
        "messages": comm.allgather(messages),
        "bytes": comm.allgather(sent),
        "peak": comm.allgather(used),
    }


def work(options: argparse.Namespace) -> None:
    """Measure on the ranks of this launch; the first one prints a JSON object."""
    from ptyxrf.driver.job.ranks import world
    from ptyxrf.driver.objective.objective import Objective
    from ptyxrf.driver.objective.settings import Model
    from ptyxrf.driver.reconstruction.compilation import compile_kernels

    comm = world()
    scan = make_scan(options.n, options.m, options.per_side)
    compile_kernels(scan, Model(method="ptychography", precision=options.precision), comm)
    comm.Barrier()
    idle = comm.allgather(resident())
    objective = Objective(scan, "ptychography", precision=options.precision, comm=comm)
    objective.value_and_gradient(objective.initial)
    found = measured_products(objective, comm, options.repeats)
    row = {
        "ranks": comm.Get_size(),
        "n": options.n,
        "m": options.m,
        "positions": scan.N,
        "precision": options.precision,
        **found,
        "memory": [most - least for most, least in zip(found.pop("peak"), idle, strict=True)],
        "balance": max(comm.allgather(len(objective.tile.positions))) * comm.Get_size() / scan.N,
    }
    if not options.no_baseline:
        row["baseline"] = replicated(objective, scan, comm, options.repeats)
    if comm.Get_rank() == 0:
        print(json.dumps(row), flush=True)


def replicated(objective: Any, scan: Scan, comm: Any, repeats: int) -> dict[str, float]:
    """Time the product of the same positions on a replicated object that is summed over the ranks."""
    from ptyxrf.kernels.implementation import diffraction_term

    positions = objective.tile.positions
    amplitudes = np.sqrt(scan.patterns[positions]).astype(objective.real)
    exposure = np.ones(len(positions))
    term = diffraction_term(
        amplitudes, scan.corners[positions], exposure, objective.terms.positioned, "positive"
    )
    z = np.ones(scan.shape, objective.complex)
    product, total = np.zeros_like(z), np.zeros_like(z)
    for first, last in objective.terms.positioned.batches():
        term.gradient(z, product, first, last, None)
    waited = [0.0]

    def call() -> None:
        product[...] = 0
        for first, last in objective.terms.positioned.batches():
            term.product(z, product, first, last, None)
        began = time.perf_counter()
        comm.Allreduce(product, total)
        waited[0] += time.perf_counter() - began

    call()
    waited[0] = 0.0
    seconds = slowest_seconds(comm, repeats, call)
    return {
        "product_seconds": statistics.median(seconds),
        "allreduce_seconds": statistics.mean(comm.allgather(waited[0] / repeats)),
        "bytes": float(product.nbytes),
    }


def nodes_of(ranks: int, options: argparse.Namespace) -> int:
    """Return the number of nodes that a number of ranks fills."""
    return -(-ranks // options.per_node) if options.per_node else 1


def launch(ranks: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measure on a number of ranks and return the row that the first rank prints."""
    scale = ranks**0.5 if options.weak else 1.0
    n = round(options.m + (options.n - options.m) * scale)
    per_side = round(options.per_side * scale)
    launcher = options.mpiexec.replace("{nodes}", str(nodes_of(ranks, options)))
    command = [
        *launcher.split(), "-n", str(ranks), sys.executable, "-m", "mpi4py", __file__, "--worker",
        "--n", str(n), "--m", str(options.m), "--per-side", str(per_side),
        "--precision", options.precision, "--repeats", str(options.repeats),
        *(["--no-baseline"] if options.no_baseline else []),
    ]  # fmt: skip
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **one_thread}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def planned(row: dict[str, Any], options: argparse.Namespace, machine: Machine) -> Plan:
    """Return the plan of the run of a row."""
    per_side = round(row["positions"] ** 0.5)
    scan = make_scan(int(row["n"]), options.m, per_side)
    problem = ProblemSize.of_scan(scan, Model(precision=options.precision))
    ranks = int(row["ranks"])
    return make_plan(problem, ranks, nodes_of(ranks, options), machine)


def median_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row with the medians over the rounds."""

    def middle(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {key: middle([value[key] for value in values]) for key in values[0]}
        if isinstance(values[0], list):
            return [middle(list(parts)) for parts in zip(*values, strict=True)]
        return values[0] if isinstance(values[0], str) else statistics.median(values)

    return middle(rows)


def draw(rows: list[dict[str, Any]], weak: bool, path: Path) -> None:
    """Draw the time per product, the share of communication and the memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    times, shares, memory = figure.subplots(1, 3)
    ranks = [row["ranks"] for row in rows]
    first = rows[0]["product_seconds"] * (1 if weak else ranks[0])
    times.semilogx(ranks, [1e3 * row["product_seconds"] for row in rows], "o-", label="tiles and halos")
    if "baseline" in rows[0]:
        times.semilogx(
            ranks, [1e3 * row["baseline"]["product_seconds"] for row in rows], "s--", label="Allreduce"
        )
        shares.semilogx(
            ranks,
            [100 * row["baseline"]["allreduce_seconds"] / row["baseline"]["product_seconds"] for row in rows],
            "s--",
            label="Allreduce of the object",
        )
    times.semilogx(ranks, [1e3 * first / (1 if weak else r) for r in ranks], "k:", label="ideal")
    times.set(title="time per Hessian product", ylabel="milliseconds", xlabel="ranks")
    for key, label in (("exchange_seconds", "halo exchange"), ("reduction_seconds", "dot products")):
        shares.semilogx(ranks, [100 * row[key] / row["product_seconds"] for row in rows], "o-", label=label)
    shares.set(title="share of communication", ylabel="percent", xlabel="ranks")
    memory.semilogx(ranks, [max(row["memory"]) / 2**20 for row in rows], "o-", label="most of a rank")
    memory.set(title="memory above an idle rank", ylabel="MiB", xlabel="ranks")
    for axes in (times, shares, memory):
        axes.set_xticks(ranks, [f"{r:.0f}" for r in ranks])
        axes.xaxis.set_minor_locator(NullLocator())
        values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
        if axes is not shares and values.max() > 5 * values.min():
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.1 * max(values.max(), 1e-12))
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--n", type=int, default=1024, help="edge of the object on one rank")
    parser.add_argument("--m", type=int, default=128)
    parser.add_argument("--per-side", type=int, default=32, help="positions along an edge on one rank")
    parser.add_argument("--precision", choices=("single", "double"), default="single")
    parser.add_argument("--weak", action="store_true", help="let the scan grow with the ranks")
    parser.add_argument("--repeats", type=int, default=15, help="products of each launch")
    parser.add_argument("--rounds", type=int, default=3, help="launches of each number of ranks")
    parser.add_argument("--no-baseline", action="store_true", help="leave out the Allreduce of the object")
    parser.add_argument(
        "--mpiexec",
        default=str(Path(sys.executable).with_name("mpiexec")),
        help="launcher and its options; {nodes} stands for the number of nodes (srun --mpi=pmi2 -N {nodes})",
    )
    parser.add_argument("--per-node", type=int, help="ranks on a node (default: all of them)")
    parser.add_argument("--machine", type=Path, help="constants that `ptyxrf bench --out FILE` wrote")
    parser.add_argument("--out", type=Path, help="folder for scaling.json and scaling.png")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    launches: dict[int, list[dict[str, Any]]] = {ranks: [] for ranks in options.ranks}
    for _ in range(options.rounds):
        for ranks in options.ranks:
            launches[ranks].append(launch(ranks, options))
    rows = [median_row(launches[ranks]) for ranks in options.ranks]
    machine = read_machine(options.machine) if options.machine else Machine()
    print(
        f"{'ranks':>5} {'n':>6} {'N':>7} {'product ms':>11} {'of first':>9} {'planned ms':>11} "
        f"{'comm %':>7} {'wait %':>7} {'kB/rank':>9} {'MiB/rank':>9} {'exchange ms':>12} {'Allreduce ms':>13}"
    )
    for row in rows:
        waiting = row["exchange_seconds"] + row["reduction_seconds"]
        base = row.get("baseline", {}).get("allreduce_seconds", float("nan"))
        plan = planned(row, options, machine)
        row["planned"] = plan.facts()
        print(
            f"{row['ranks']:5.0f} {row['n']:6.0f} {row['positions']:7.0f} "
            f"{1e3 * row['product_seconds']:11.2f} "
            f"{row['product_seconds'] / rows[0]['product_seconds']:9.3f} {1e3 * plan.seconds.total:11.2f} "
            f"{100 * waiting / row['product_seconds']:7.2f} "
            f"{100 * row['waiting_seconds'] / row['product_seconds']:7.2f} {max(row['bytes']) / 1e3:9.1f} "
            f"{max(row['memory']) / 2**20:9.1f} {1e3 * waiting:12.3f} {1e3 * base:13.3f}"
        )
        exact = row["bytes"] == plan.load.bytes.tolist() and row["messages"] == plan.load.messages.tolist()
        if not exact:
            raise SystemExit(f"messages or bytes differ from the plan: {row}, {plan.load}")
    print(f"messages and bytes of each rank are those of the plan; its constants: {machine.name}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "scaling.json").write_text(
            json.dumps({"rows": rows, "launches": launches}, indent=1) + "\n"
        )
        draw(rows, options.weak, options.out / "scaling.png")
        print(f"written: {options.out / 'scaling.json'}, {options.out / 'scaling.png'}")


if __name__ == "__main__":
    main()
