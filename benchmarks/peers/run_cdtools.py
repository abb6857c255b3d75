"""Runner of cdtools: automatic differentiation with Adam or L-BFGS, epoch by epoch.

Settings: "optimizer" ("Adam" or "LBFGS") and the arguments of its `optimize`. An iteration is an epoch.
Where positions are whole pixels the model is SimplePtycho, which shifts no probes; else FancyPtycho. Before
the clock starts a second reconstruction has run two epochs: of the same kind, or of Adam where L-BFGS, whose
epochs are long, is wanted. Transforms are counted in its second epoch; those of L-BFGS as they are made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from recorder import Job, Recorder, job_of_command_line
from torch_work import CountTransforms

#: Iterations of L-BFGS in an epoch: PyTorch's default, which cdtools leaves.
STEPS = 20


def make_model(job: Job) -> tuple[Any, Any]:
    """Return model and data set, with the pixel of the object as the unit of length."""
    from cdtools.datasets import Ptycho2DDataset
    from cdtools.models import FancyPtycho, SimplePtycho

    positions, probe = job.data["positions"].astype(np.float32), job.data["probe"]
    basis = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    geometry = {"distance": 1.0, "basis": basis}
    dataset = Ptycho2DDataset(
        np.pad(positions, ((0, 0), (0, 1))),
        torch.as_tensor(job.data["patterns"]),
        wavelength=1.0,
        detector_geometry=geometry,
    )
    start = torch.ones(job.shape, dtype=torch.complex64)
    if (positions == positions.round()).all():
        model = SimplePtycho(1.0, basis, torch.as_tensor(probe), start)
    else:
        model = FancyPtycho(
            1.0, geometry, basis, torch.as_tensor(probe)[None], start,
            background=torch.full(probe.shape, 1e-6),
        )  # fmt: skip
        model.background.requires_grad = False
    model.probe.requires_grad = job.refine_probe
    return model, dataset


def make_steps(job: Job, settings: dict[str, Any], iterations: int) -> tuple[Any, Iterator[Any]]:
    """Return a model at the start and the generator of its epochs."""
    from cdtools import reconstructors

    torch.manual_seed(0)
    settings = dict(settings)
    model, dataset = make_model(job)
    solver = getattr(reconstructors, settings.pop("optimizer") + "Reconstructor")(model, dataset)
    return model, solver.optimize(iterations, thread=False, **settings)


def main(job: Job) -> None:
    """Make the run."""
    torch.set_num_threads(job.threads)
    from importlib.metadata import version

    search = job.settings["optimizer"] == "LBFGS"
    counter = CountTransforms(job.data["probe"].shape[-1])
    _, warm = make_steps(job, {"optimizer": "Adam"} if search else job.settings, 2)
    next(warm)
    with counter:
        next(warm)
    each_epoch, counter.count = counter.count, 0.0
    model, steps = make_steps(job, job.settings, job.iterations)
    recorder, epochs = Recorder(job, STEPS if search else 1), [0]

    def current() -> tuple[Any, Any]:
        probe = (model.probe * model.probe_norm).detach().numpy()
        return model.obj.detach().numpy().copy(), probe.reshape(-1, *probe.shape[-2:])[0]

    def transforms() -> float:
        return counter.count if search else epochs[0] * each_epoch

    recorder.start()
    while not recorder.note(current, transforms):
        with counter if search else contextlib.nullcontext():
            next(steps)
        epochs[0] += 1
    recorder.write(version=version("cdtools-py"))


if __name__ == "__main__":
    main(job_of_command_line())
