"""Checkpoints of a reconstruction: contents, when they are written, and how a run resumes from one.

A checkpoint is taken between two iterations and holds everything on which the next one depends, so that a
resumed run has the history of an uninterrupted one: the state of the present stage, and where the stages
before it have ended. It belongs to the data and to the settings on which the path depends; budgets, stops
and the number of ranks may change.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ptyxrf.driver.data.digest import digest_of, scan_digest
from ptyxrf.driver.data.history import Losses, Reason, Work
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.checkpoint_file import (
    FORMAT,
    Content,
    OtherFormat,
    check_replaceable,
    read_checkpoint,
    read_fields,
    write_checkpoint,
)
from ptyxrf.driver.files.file_errors import UnwritableFile
from ptyxrf.driver.files.hdf5_reader import READ_ERRORS
from ptyxrf.driver.files.name_lock import locked
from ptyxrf.driver.files.output_names import named_after
from ptyxrf.driver.files.whole_file import check_writable, remove_remains
from ptyxrf.driver.job import signals
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.unknown_kinds import StoredVectors
from ptyxrf.driver.reconstruction.probe_start import ProbeStart
from ptyxrf.driver.reconstruction.run_state import MEMORY, UNKNOWNS, Ended, Resumed, RunState
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.solver.state import Saved, State, Stored
from ptyxrf.parallel.startup import agreed, from_first_rank

#: Name of the array with the probe that a search has found.
FOUND_PROBE = "start.probe"


def checkpoint_path(result: Path) -> Path:
    """Return the path of the checkpoint of a reconstruction whose result goes to a file."""
    return named_after(result, ".checkpoint.h5")


def older_path(path: Path) -> Path:
    """Return the path of the checkpoint before the newest one."""
    return path.with_name(f"{path.stem}-older{path.suffix}")


def remove_checkpoints(path: str | os.PathLike[str]) -> None:
    """Remove a checkpoint and the one before it, where they exist and no run has begun to write them.

    Parameters
    ----------
    path : path-like
        Of the newest one.
    """
    with suppress(UnwritableFile), locked(path, patience=0):
        for one in (Path(path), older_path(Path(path))):
            one.unlink(missing_ok=True)


@contextmanager
def locked_checkpoint(settings: Settings, comm: Any) -> Iterator[None]:
    """Let no other run write the checkpoint of this one while the body runs; all ranks take part.

    Raises
    ------
    UnwritableFile
        Another run writes it, or a file of another kind has that name.
    """
    path = settings.checkpoint
    if path is None:
        yield
        return
    with locked(path, comm):
        if not settings.resume:  # a damaged one may have lost what tells it from others
            from_first_rank(comm, lambda: check_replaceable(path))
        yield


def start_digest(start: Mapping[str, ArrayLike]) -> dict[str, str]:
    """Return a digest of each starting value, for settings that have to agree."""
    return {name: digest_of(value) for name, value in sorted(start.items())}


def kept_probe(scan: Scan, settings: Settings, comm: Any) -> ProbeStart | None:
    """Return the probe that the run found which is to be resumed, so that it is not searched for again.

    Parameters
    ----------
    scan : Scan
    settings : Settings
        Resolved.
    comm : communicator or None
        All ranks take part.

    Returns
    -------
    ProbeStart or None
        None where there is nothing to take up. Of a checkpoint that is not of this scan and these settings
        it is the scan's own probe: `Checkpoints.resume` refuses such a checkpoint.
    """
    if not settings.resume or settings.checkpoint is None or settings.probe_start == "given":
        return None
    path = Path(settings.checkpoint)

    def read() -> ProbeStart | None:
        for file in (path, older_path(path)):
            try:
                content = read_checkpoint(file)
            except (*READ_ERRORS, FileNotFoundError):
                continue
            probe = content.arrays.get(FOUND_PROBE, np.empty(0))
            fits = probe.shape == (settings.modes, scan.m, scan.m)
            return ProbeStart(probe if fits else scan.probe, content.facts.get("probe_ranking", []))
        return None

    return from_first_rank(comm, read)


class Checkpoints:
    """Writes the checkpoints of a stage, and reads the last one; all ranks make the same calls.

    Parameters
    ----------
    path : path-like
        Of the newest one; the one before it is kept beside it.
    objective : Objective
        At its start.
    settings : dict
        Those that must agree between the run that writes and the one that resumes; plain values.
    seconds : float
        Write after the first iteration that ends so long after the last checkpoint; 0: do not.
    iterations : int
        Write after so many iterations; 0: do not.
    scan : Scan
        As it was given, which may have another probe than the objective's.
    found : ProbeStart
        The probe of the start.
    ended : sequence of Ended
        The stages before this one.

    Raises
    ------
    ValueError
        If the path cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        objective: Objective,
        settings: dict[str, Any],
        seconds: float,
        iterations: int,
        scan: Scan,
        found: ProbeStart,
        ended: Sequence[Ended] = (),
    ) -> None:
        self._stage, self._ended = objective.method, ended
        self.path, self.older = Path(path), older_path(Path(path))
        self._objective, self._settings = objective, settings
        self._digest = scan_digest(scan, objective.data.checksums)
        self._found = found
        self._seconds, self._iterations = seconds, iterations
        self._last = time.monotonic()
        self._resumed_after: list[int] = []
        self._newest_is_damaged = False

        def prepare() -> None:
            for file in (self.path, self.older):
                check_writable(file)
                remove_remains(file)

        from_first_rank(objective.ranks.comm, prepare)

    # ---------------------------------------------------------------- writing

    def answer_signals(self) -> None:
        """Stop if a signal asks for it, before there is anything to write.

        Raises
        ------
        Stopped
            On every rank.
        """
        agreed(self._objective.ranks.comm, signals.stop_if_asked)

    def consider(self, state: State, run: RunState) -> None:
        """Write a checkpoint if it is time to, or a signal asks for it.

        Raises
        ------
        Stopped
            On every rank, after writing, where a signal asks for it.
        ValueError
            If the checkpoint cannot be written.
        """
        asked = signals.asked()
        due = 0 < self._seconds <= time.monotonic() - self._last
        counted = self._iterations > 0 and state.number > 0 and state.number % self._iterations == 0
        # clocks and signals of the ranks differ, but their decisions must not
        flags = (due, signals.CHECKPOINT in asked, signals.STOP in asked)
        due, wanted, stop = self._objective.ranks.largest(*map(float, flags)) > 0
        if due or counted or wanted or stop:
            self._write(Saved.of(state), run)
            signals.answered(asked)
            self._last = time.monotonic()
        if stop:
            raise signals.Stopped

    def _write(self, saved: Saved, run: RunState) -> None:
        objective = self._objective
        facts = {
            "format": FORMAT,
            "stage": self._stage,
            "ended": {ended.stage: ended.facts for ended in self._ended},
            "settings": self._settings,
            "digest": self._digest,
            "iteration": saved.number,
            "first_norm": saved.first_norm,
            "slow": saved.slow,
            "settled": None if saved.settled is None else saved.settled.name,
            "seconds": saved.seconds,
            "solver": saved.memory.numbers,
            "work": asdict(objective.work),
            "held": sorted(objective.held),
            "before": None if run.before is None else asdict(run.before),
            "earlier": run.earlier,
            "resumed_after": self._resumed_after,
            "probe_ranking": self._found.ranking,
        }
        vectors = {UNKNOWNS: saved.vector, **saved.memory.vectors}
        stored = objective.layout.store({f"{self._stage}/{name}": one for name, one in vectors.items()})
        arrays, fields = stored.arrays, stored.fields
        arrays |= {f"{self._stage}/{MEMORY}{name}": array for name, array in objective.memory().items()}
        if self._settings["probe_start"] != "given":
            arrays[FOUND_PROBE] = self._found.probe
        for ended in self._ended:
            arrays |= ended.stored.arrays
            fields |= ended.stored.fields
        content = Content(facts, run.history, arrays, fields)
        older = None if self._newest_is_damaged else self.older
        write_checkpoint(self.path, older, content, objective.tile, objective.ranks)
        self._newest_is_damaged = False

    # ---------------------------------------------------------------- resuming

    def resume(self) -> Resumed | Ended | None:
        """Read the newest intact checkpoint, and restore the state of the objective in its stage.

        Returns
        -------
        Resumed, Ended or None
            None where there is no checkpoint, or only one of an earlier stage: the stage has not begun.

        Raises
        ------
        ValueError
            On every rank: the checkpoint is of other data or settings, or none is whole.

        Warns
        -----
        UserWarning
            Where there is none, or the newest one is damaged.
        """
        comm = self._objective.ranks.comm
        there = from_first_rank(comm, lambda: [file for file in (self.path, self.older) if file.exists()])
        failures: list[Exception] = []
        for file in there:
            try:
                content = from_first_rank(comm, partial(read_checkpoint, file))
                self._check_agreement(file, content.facts)
                fields = self._objective.fields
                content.fields = read_fields(file, self._stage, fields.shape[0], fields.tile, fields.ranks)
            except _Disagreement as disagreement:
                raise ValueError(str(disagreement)) from None
            except OtherFormat:
                raise
            except READ_ERRORS as error:
                failures.append(error)
                self._newest_is_damaged = self._newest_is_damaged or file == self.path
                continue
            if failures:
                warnings.warn(f"{failures[0]}; going on from the one before it, {file}", stacklevel=5)
            return self._take(content)
        if failures:
            raise ValueError(
                f"resume: no checkpoint is whole: {'; '.join(map(str, failures))}"
            ) from failures[0]
        if not self._ended:
            warnings.warn(f"resume: there is no checkpoint {self.path}: beginning at the start", stacklevel=5)
        return None

    def _check_agreement(self, file: Path, facts: dict[str, Any]) -> None:
        digest, settings = facts["digest"], facts["settings"]
        names = {**digest, **self._digest}
        if facts["stage"] != self._stage:  # which may have read other data
            names = {name: digest[name] for name in names if name in digest and name in self._digest}
        parts = [name for name in names if digest.get(name) != self._digest.get(name)]
        # as JSON, which distinguishes true from 1
        pairs = {
            name: (json.dumps(settings.get(name)), json.dumps(self._settings.get(name)))
            for name in {**settings, **self._settings}
        }
        changed = [
            f"{name} (there {there}, here {here})" for name, (there, here) in pairs.items() if there != here
        ]
        if changed:
            raise _Disagreement(
                f"{file}: expected a checkpoint with the settings of this reconstruction, got one with "
                f"another {', '.join(changed)}"
            )
        if parts:
            raise _Disagreement(
                f"{file}: expected a checkpoint of this scan, got one of other data: {', '.join(parts)} "
                f"{'differs' if len(parts) == 1 else 'differ'}"
            )

    def _take(self, content: Content) -> Resumed | Ended | None:
        """Restore the state of the objective, and return the rest."""
        objective, facts, stage = self._objective, content.facts, f"{self._stage}/"
        if self._stage in facts["ended"]:
            fields = {stage + name: values for name, values in content.fields.items()}
            arrays = {name: array for name, array in content.arrays.items() if name.startswith(stage)}
            return Ended(self._stage, facts["ended"][self._stage], StoredVectors(fields, arrays))
        if facts["stage"] != self._stage:
            return None
        self._resumed_after = [*facts["resumed_after"], facts["iteration"]]
        objective.held = frozenset(facts["held"])
        arrays = {
            name.removeprefix(stage): array
            for name, array in content.arrays.items()
            if name.startswith(stage)
        }
        objective.restore_memory(
            {name.removeprefix(MEMORY): array for name, array in arrays.items() if name.startswith(MEMORY)}
        )
        vectors = objective.layout.restore(list(content.fields), StoredVectors(content.fields, arrays))
        saved = Saved(
            vectors.pop(UNKNOWNS),
            facts["iteration"],
            facts["first_norm"],
            facts["slow"],
            None if facts["settled"] is None else Reason[facts["settled"]],
            facts["seconds"],
            Stored(facts["solver"], vectors),
        )
        before = None if facts["before"] is None else Losses(**facts["before"])
        run = RunState(content.history, before, facts["earlier"])
        return Resumed(saved, run, Work(**facts["work"]), self._resumed_after)


class _Disagreement(Exception):
    """An intact checkpoint of another reconstruction."""
