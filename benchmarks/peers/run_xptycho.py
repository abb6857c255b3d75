"""Runner of xptycho: its iteration, projected multi-agent consensus equilibrium (PMACE).

Settings: reconstruction parameters of its `PtychoModel`, whose defaults hold otherwise. Positions are whole
pixels there: fractions are rounded. Before the clock starts a second run has made two iterations; transforms
are counted in its second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recorder import Job, Recorder, job_of_command_line
from torch_work import CountTransforms


def make_run(job: Job) -> Any:
    """Return a run at the start, with the pixel of the object as the unit of length."""
    from xptycho import PtychoModel, Scan
    from xptycho.pmace import Run

    patterns, m = job.data["patterns"], job.data["probe"].shape[-1]
    positions = job.data["positions"] + m // 2
    facts = {"wavelength": 1.0, "det_distance": float(m), "det_pixel_pitch": 1.0}
    model = PtychoModel(frame_size=m, probe_positions=positions, **facts)
    model.configure_devices(devices=["cpu"])
    model.set_params(object_shape=job.shape, object_origin=(0.0, 0.0), **job.settings)
    layout, starts = model._layout()
    parameters = {row["name"]: row["value"] for row in model.parameters()}
    amplitudes = Scan(patterns, positions, **facts).amplitudes()
    batch = model.get_params("batch_size") or len(patterns)
    return Run(
        layout, starts, amplitudes, job.data["probe"][None], np.ones(job.shape, np.complex64), parameters,
        job.refine_probe, batch,
    )  # fmt: skip


def iterate(run: Any) -> None:
    """Make an iteration as `PtychoModel.recon` does, whose report of the error is left out."""
    run.update_object()
    if run.estimate_probe:
        run.update_probe()


def main(job: Job) -> None:
    """Make the run."""
    torch.set_num_threads(job.threads)
    from importlib.metadata import version

    warm, counter = make_run(job), CountTransforms(job.data["probe"].shape[-1])
    iterate(warm)
    with counter:
        iterate(warm)
    del warm

    run, recorder, iterations = make_run(job), Recorder(job), [0]
    start = np.ones(job.shape, np.complex64), job.data["probe"]

    def current() -> tuple[Any, Any]:
        return (run.object().copy(), run.probe()[0].copy()) if iterations[0] else start

    recorder.start()
    while not recorder.note(current, lambda: iterations[0] * counter.count):
        iterate(run)
        iterations[0] += 1
    recorder.write(version=version("xptycho"))


if __name__ == "__main__":
    main(job_of_command_line())
