"""Samples in a file, so that a run which was ended goes on with the next one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.digest import digest_of, scan_digest
from ptyxrf.driver.data.result import Result
from ptyxrf.driver.files.checkpoint_file import (
    FORMAT,
    Content,
    check_replaceable,
    read_checkpoint,
    read_fields,
    write_checkpoint,
)
from ptyxrf.driver.objective.unknown_kinds import StoredVectors
from ptyxrf.driver.uncertainty.fitted import Fitted
from ptyxrf.driver.uncertainty.sampler import Sampler
from ptyxrf.driver.uncertainty.settings import Sampling
from ptyxrf.parallel.startup import from_first_rank

#: The name of samples among the fields of a checkpoint, and the numbers of a sampler that belong to them.
SAMPLES = "samples"
NUMBERS = ("products", "residual", "unsolved", "tolerance")
#: Settings on which samples depend.
AGREED = ("seed", "tolerance", "max_products", "finish_iterations", "precision")


class KeptSamples:
    """The file of a run's samples; all ranks make the same calls.

    Parameters
    ----------
    path : str
    result : Result
        Whole.
    fit : Fitted
        Its minimum.
    settings : Sampling

    Raises
    ------
    UnwritableFile
        A file of another kind has that name.
    """

    def __init__(self, path: str, result: Result, fit: Fitted, settings: Sampling) -> None:
        self._path, self._result, self._objective = path, result, fit.objective
        moved = (result.positions, result.intensities, result.pattern_background, result.matrix)
        of_result = digest_of(result.object, result.elements, result.probe, *moved)
        digest = scan_digest(fit.objective.scan, fit.objective.data.checksums) | {"result": of_result}
        agreed = {name: getattr(settings, name) for name in AGREED} | {"method": result.method}
        self._agreement = {"digest": digest, "settings": agreed}
        from_first_rank(fit.objective.ranks.comm, lambda: check_replaceable(path))

    def write(self, draws: list[NDArray[Any]], sampler: Sampler) -> None:
        """Write samples, whole or not at all, and how they were solved."""
        objective = self._objective
        numbers = {name: getattr(sampler, name) for name in NUMBERS}
        facts: dict[str, Any] = {"format": FORMAT, "stage": self._result.method, "sampler": numbers}
        facts |= {"iteration": len(draws), "resumed_after": []}
        stored = objective.layout.store({f"{SAMPLES}/{k}": draw for k, draw in enumerate(draws)})
        content = Content(facts | self._agreement, self._result.history, stored.arrays, stored.fields)
        write_checkpoint(self._path, None, content, objective.tile, objective.ranks)

    def read(self, sampler: Sampler) -> list[NDArray[Any]]:
        """Return the samples of the file, whose numbers the sampler takes; none where there is no file.

        Raises
        ------
        ValueError
            On every rank: the file is damaged, or of other data, another result or other settings.
        """
        objective = self._objective
        try:
            content = from_first_rank(objective.ranks.comm, lambda: read_checkpoint(self._path))
        except FileNotFoundError:
            return []
        facts = content.facts
        if any(facts.get(name) != value for name, value in self._agreement.items()):
            raise ValueError(
                f"{self._path}: expected samples of this scan, result and settings, got those of others"
            )
        for name, value in facts["sampler"].items():
            setattr(sampler, name, value)
        names = [f"{SAMPLES}/{k}" for k in range(facts["iteration"])]
        fields = read_fields(self._path, SAMPLES, objective.fields.shape[0], objective.tile, objective.ranks)
        named = {f"{SAMPLES}/{k}": values for k, values in fields.items()}
        restored = objective.layout.restore(names, StoredVectors(named, content.arrays))
        return [np.asarray(restored[name]) for name in names]
