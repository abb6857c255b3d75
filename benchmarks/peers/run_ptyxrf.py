"""Runner of ptyxrf: its solver with the defaults of `ptyxrf.reconstruct`, stopped by budgets alone.

Settings: fields of `NewtonOptions`, and "curvature". Before the clock starts the scan has been loaded, and
two iterations of it were made, which compiles the kernels and makes the plans. Transforms are counted as
they are made, among them those that shift probes by fractions of a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from recorder import Job, Recorder, job_of_command_line

import ptyxrf
from ptyxrf.driver.truncated_newton import Iteration, NewtonOptions, TruncatedNewton
from ptyxrf.kernels.fourier import PatternFourier


def count_transforms() -> list[float]:
    """Count the transforms of patterns from now on, in a list of one number."""
    count = [0.0]

    def counted(original: Any) -> Any:
        def run(self: PatternFourier, source: Any, target: Any) -> None:
            count[0] += len(source)
            original(self, source, target)

        return run

    for name in ("forward", "backward"):
        setattr(PatternFourier, name, counted(getattr(PatternFourier, name)))
    return count


def main(job: Job) -> None:
    """Make the run."""
    data, settings = job.data, dict(job.settings)
    curvature = settings.pop("curvature", "positive")
    scan = ptyxrf.Scan(data["patterns"], data["positions"], data["probe"], shape=job.shape, count_scale=1)
    objective = ptyxrf.Objective(
        scan, "ptychography", precision="single", refine_probe=job.refine_probe, curvature=curvature
    )
    never = {"gradient_tolerance": 0.0, "loss_tolerance": 0.0}
    warm = NewtonOptions(max_iterations=2, **never)
    TruncatedNewton(objective, warm, lambda: objective.work.sweeps, lambda _: False).run(objective.initial)

    recorder, count = Recorder(job), count_transforms()

    def report(iteration: Iteration) -> bool:
        vector = iteration.vector
        return recorder.note(
            lambda: (objective.complex_object(vector), np.array(objective.probe_of(vector)[0])),
            lambda: count[0],
        )

    options = NewtonOptions(max_iterations=job.iterations + 1, **never, **settings)
    recorder.start()
    TruncatedNewton(objective, options, lambda: objective.work.sweeps, report).run(objective.initial)
    recorder.write(version=ptyxrf.__version__)


if __name__ == "__main__":
    main(job_of_command_line())
