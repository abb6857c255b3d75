"""Runner of ptyxrf: its solvers with the defaults of `ptyxrf.reconstruct`; only budgets end a run.

Settings: "solver", "curvature", and those of `SolverSettings`. Where the probe is unknown, each of the sweeps
over batches that quasi-Newton steps follow is an iteration here. Loading the scan and a few iterations, which
compile the kernels, precede the clock. The transforms are counted where the kernels make them, including
those that shift probes by fractions of a pixel. Under mpiexec the first rank keeps the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray
from recorder import Job, Recorder, job_of_command_line

import ptyxrf
from ptyxrf.driver.job.world import world
from ptyxrf.driver.objective.batch_sweeps import BatchSweeps
from ptyxrf.driver.reconstruction.settings import BATCH_SWEEPS
from ptyxrf.driver.solver.minimiser import Minimiser
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton
from ptyxrf.kernels.simd.diffraction import VectorDiffraction
from ptyxrf.kernels.simd.probe_shift import VectorShifts
from ptyxrf.kernels.simd.shift_expansion import ExpandedShifts

SOLVERS = {"quasi-newton": QuasiNewton, "newton": TruncatedNewton}


def count_transforms() -> list[float]:
    """Return a list of one number, which counts the transforms of patterns from now on."""
    count = [0.0]

    def counted(kind: Any, name: str, transforms: Callable[..., float]) -> None:
        original = getattr(kind, name)

        def run(self: Any, *arguments: Any) -> Any:
            count[0] += self.modes * transforms(*arguments)
            return original(self, *arguments)

        setattr(kind, name, run)

    counted(VectorDiffraction, "gradient", lambda tile, gradient, first, last, *_: 2 * (last - first))
    counted(VectorDiffraction, "product", lambda change, product, first, last, *_: 2 * (last - first))
    counted(
        VectorDiffraction,
        "losses_along",
        lambda change, steps, losses, first, last, moved: (2 if moved else 1) * (last - first),
    )
    counted(VectorShifts, "shift", lambda spectrum, first, last, *_: last - first)
    counted(VectorShifts, "add_shifted_back", lambda fields, first, last, *_: last - first)
    # one of the two passes of a transform
    counted(ExpandedShifts, "shift", lambda spectrum, first, last, *_: (last - first) / 2)
    counted(ExpandedShifts, "add_shifted_back", lambda fields, first, last, *_: (last - first) / 2)
    return count


def iterates(objective: ptyxrf.Objective, minimiser: Minimiser, sweeps: int) -> Iterator[NDArray[Any]]:
    """Yield the start, the vector after each sweep over batches, and that after each step of the solver."""
    state = minimiser.start(objective.initial)
    yield state.vector
    if sweeps:
        batches, vector = BatchSweeps(objective), state.vector
        for _ in range(sweeps - 1):
            vector = batches.sweep(vector)
            yield vector
        state = minimiser.reset(state, batches.sweep(vector))
        yield state.vector
    while minimiser.reason(state) is None:
        state = minimiser.step(state)
        yield state.vector


def main(job: Job) -> None:
    """Run the solver of a job."""
    data, settings = job.data, dict(job.settings)
    curvature, solver = settings.pop("curvature", "positive"), settings.pop("solver", "quasi-newton")
    scan = ptyxrf.Scan(data["patterns"], data["positions"], data["probe"], shape=job.shape, count_scale=1)
    comm = world()
    objective = ptyxrf.Objective(
        scan, "ptychography", precision="single", refine_probe=job.refine_probe, curvature=curvature,
        memory="low" if solver == "quasi-newton" else "cached", engine="vector", comm=comm,
    )  # fmt: skip
    most = job.iterations + 1
    never = {"gradient_tolerance": 0.0, "loss_tolerance": 0.0}
    minimiser = SOLVERS[solver](
        objective,
        SolverSettings(solver=solver, **settings),
        Stops(max_iterations=most, **never),
    )
    sweeps = BATCH_SWEEPS if job.refine_probe and solver == "quasi-newton" else 0
    for _ in zip(range(sweeps + 3), iterates(objective, minimiser, sweeps), strict=False):
        pass  # compiles

    recorder, count, made = Recorder(job), count_transforms(), [0.0]

    def enough(vector: NDArray[Any]) -> bool:
        def current() -> tuple[Any, Any]:
            made[0] = comm.allreduce(count[0])
            fields = objective.gather(vector)
            return fields["real_part"] + 1j * fields["imaginary_part"], objective.probe_of(vector)[0]

        if comm.rank > 0:
            current()
        over = comm.rank == 0 and recorder.note(current, lambda: made[0])
        return bool(comm.bcast(over))

    recorder.start()
    for vector in iterates(objective, minimiser, sweeps):
        if enough(vector):
            break
    if comm.rank == 0:
        recorder.write(version=ptyxrf.__version__)


if __name__ == "__main__":
    main(job_of_command_line())
