"""Runner of PtyPy: its maximum-likelihood engines ML and ML_serial, iteration by iteration.

Settings: "name" and other parameters of the engine. It uses whole pixels only: positions are rounded.
Before the clock starts the data have been loaded, and a second engine of the same kind has made two
iterations. The transforms are an estimate from the algorithm: an iteration makes a gradient (a forward and
an inverse transform of each pattern) and the coefficients of its line search (three forward ones).
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from recorder import Job, Recorder, job_of_command_line

#: Transforms of each pattern in an iteration.
TRANSFORMS = 5

#: Metres; any will do, as only their ratio to the positions matters.
PIXEL, DISTANCE, WAVELENGTH = 1e-8, 1.0, 1e-10


def make_engine(job: Job, folder: str) -> tuple[Any, Any]:
    """Return PtyPy's main object and an engine that is ready to iterate."""
    import ptypy
    from ptypy import defaults_tree
    from ptypy import utils as u
    from ptypy.core import Ptycho
    from ptypy.core.data import PtyScan

    data, m = job.data, job.data["probe"].shape[-1]
    corners = np.round(data["positions"])

    @defaults_tree.parse_doc("scandata.GivenScan")
    class GivenScan(PtyScan):
        """A scan in memory.

        Defaults:

        [name]
        type = str
        default = GivenScan
        help =

        [auto_center]
        default = False
        """

        def load_positions(self) -> Any:
            return corners * PIXEL

        def load(self, indices: Any) -> tuple[Any, Any, Any]:
            return {i: data["patterns"][i] for i in indices}, {}, {}

    ptypy.load_gpu_engines(arch="serial")
    p = u.Param()
    p.verbose_level, p.data_type, p.frames_per_block = "ERROR", "single", len(corners)
    p.io = u.Param(home=folder, rfile=None)
    p.io.autosave = p.io.autoplot = p.io.interaction = u.Param(active=False)
    p.scans = u.Param(given=u.Param(name="BlockFull"))
    p.scans.given.data = u.Param(
        name="GivenScan", shape=m, num_frames=len(corners), distance=DISTANCE, save=None,
        energy=1.239841984e-9 / WAVELENGTH, psize=WAVELENGTH * DISTANCE / (m * PIXEL),
    )  # fmt: skip
    p.scans.given.illumination = u.Param(model=data["probe"], aperture=None, photons=None, diversity=None)
    p.scans.given.sample = u.Param(model=None, fill=1.0, diversity=None)
    held = {} if job.refine_probe else {"probe_update_start": 10**9}
    parameters = {"numiter": 10**6, "probe_support": None, **held, **job.settings}
    p.engines = u.Param(engine=u.Param(**parameters))
    ptycho = Ptycho(p, level=4)
    ptycho.runtime.iter_info = []
    engine = next(iter(ptycho.engines.values()))
    engine.initialize()
    ptycho.new_data = [(storage.label, storage) for storage in ptycho.diff.S.values()]
    engine.prepare()
    return ptycho, engine


def main(job: Job) -> None:
    """Make the run."""
    import ptypy

    with tempfile.TemporaryDirectory() as folder:
        _, warm = make_engine(job, folder)
        warm.iterate(2)
        ptycho, engine = make_engine(job, folder)
        recorder, iterations = Recorder(job), [0]
        rows, columns = job.shape

        def current() -> tuple[Any, Any]:
            storage = next(iter(ptycho.obj.S.values()))
            view = next(iter(storage.views))
            # the storage may be larger than the windows cover; its first window stands at the first corner
            row, column = np.round(job.data["positions"][0]).astype(int)
            first_row, first_column = view.dlow[0] - row, view.dlow[1] - column
            object = np.ones(job.shape, np.complex64)
            part = storage.data[0, first_row : first_row + rows, first_column : first_column + columns]
            object[: part.shape[0], : part.shape[1]] = part
            return object, next(iter(ptycho.probe.S.values())).data[0].copy()

        recorder.start()
        while not recorder.note(current, lambda: iterations[0] * TRANSFORMS * len(job.data["patterns"])):
            engine.iterate(1)
            iterations[0] += 1
        recorder.write(version=ptypy.__version__)


if __name__ == "__main__":
    main(job_of_command_line())
