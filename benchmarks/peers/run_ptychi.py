"""Runner of pty-chi: any of its reconstructors, epoch by epoch.

Settings: "engine" (a class of options, without the word Options), and dotted names of options with their
values. An iteration is an epoch. Before the clock starts a second task of the same kind has run two epochs.
Transforms are counted in its second epoch; those of L-BFGS, whose line searches vary, as they are made (in
batches so large that the counting costs nothing).
"""

from __future__ import annotations

import contextlib
import logging
import sys
import types
from typing import Any

import numpy as np
import torch
from recorder import Job, Recorder, job_of_command_line
from torch_work import CountTransforms


def allow_missing_torchvision() -> None:
    """Let pty-chi be imported beside a torchvision that is built for another torch.

    Of torchvision it imports one filter, which no reconstructor here uses.
    """
    try:
        import torchvision.transforms  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        package, part = types.ModuleType("torchvision"), types.ModuleType("torchvision.transforms")
        part.GaussianBlur = object  # type: ignore[attr-defined]
        package.transforms = part  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": package, "torchvision.transforms": part}


def make_task(job: Job, short: bool = False) -> Any:
    """Return a task at the start; where it is short, an epoch of L-BFGS has one iteration."""
    import ptychi.api as api
    from ptychi.api.task import PtychographyTask

    settings = dict(job.settings)
    options = getattr(api, settings.pop("engine") + "Options")()
    solver, m = options.reconstructor_options, job.data["probe"].shape[-1]
    solver.num_epochs = job.iterations
    solver.default_device, solver.default_dtype = api.Devices.CPU, api.Dtypes.FLOAT32
    solver.random_seed = 0
    options.object_options.optimizable = True
    options.probe_options.optimizable = job.refine_probe
    options.probe_position_options.optimizable = False
    # positions are those of the window's centre; this origin makes them those of its first pixel
    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = [(m - 1) / 2, (m - 1) / 2]
    for name, value in settings.items():
        *path, last = name.split(".")
        part = options
        for step in path:
            part = getattr(part, step)
        if not hasattr(part, last):
            raise SystemExit(f"settings: expected an option of pty-chi, got {name!r}")
        if short and last == "optimizer_params":
            value = {**value, "max_iter": 1}
        setattr(part, last, value)
    return PtychographyTask(
        options,
        diffraction_data=job.data["patterns"],
        object_data=np.ones((1, *job.shape), np.complex64),
        # its DFT is not normalised
        probe_data=(job.data["probe"] / m)[None, None],
        probe_position_x_px=job.data["positions"][:, 1].astype(np.float32),
        probe_position_y_px=job.data["positions"][:, 0].astype(np.float32),
    )


def main(job: Job) -> None:
    """Make the run."""
    torch.set_num_threads(job.threads)
    logging.disable(logging.WARNING)
    allow_missing_torchvision()
    from importlib.metadata import version

    m = job.data["probe"].shape[-1]
    search = job.settings.get("object_options.optimizer") == "lbfgs"
    inner = job.settings["object_options.optimizer_params"]["max_iter"] if search else 1
    warm, counter = make_task(job, short=search), CountTransforms(m)
    warm.run(1)
    with counter:
        warm.run(1)
    each_epoch, counter.count = counter.count, 0.0
    del warm

    task, epochs = make_task(job), [0]
    recorder = Recorder(job, inner)

    def current() -> tuple[Any, Any]:
        object, probe = (task.get_data_to_cpu(name, as_numpy=True) for name in ("object", "probe"))
        object, probe, given = object[0].copy(), probe[0, 0] * m, job.data["probe"]
        if not job.refine_probe:
            # some settings move a scale from the object to the probe that is held
            object *= (np.vdot(given, probe) / np.vdot(given, given)).astype(object.dtype)
        return object, probe

    def transforms() -> float:
        return counter.count if search else epochs[0] * each_epoch

    recorder.start()
    while not recorder.note(current, transforms):
        with counter if search else contextlib.nullcontext():
            task.run(1)
        epochs[0] += 1
    recorder.write(version=version("ptychi"))


if __name__ == "__main__":
    main(job_of_command_line())
