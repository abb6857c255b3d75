"""The probe from which a reconstruction starts: the given one, or one that is found in the patterns."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.reconstruction.compilation import compile_kernels
from ptyxrf.driver.reconstruction.probe_candidates import (
    ProbeCandidate,
    finer_ratios,
    neighbours,
    probe_candidates,
)
from ptyxrf.driver.reconstruction.probe_modes import with_modes
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.reconstruction.trials import middle_positions, part_of, ranked, trial_loss
from ptyxrf.parallel.startup import agreed, from_first_rank

log = logging.getLogger("ptyxrf")

#: Number of patterns, at most, that tell one probe from another.
PATTERNS = 100
#: Sweeps after which most candidates are given up. Right ones have then begun to fall.
FIRST_SWEEPS = 10.0
#: Number of candidates that are tried for longer.
FINALISTS = 3
#: Sweeps after which a candidate at half or one and a half of the true defocus has converged.
LAST_SWEEPS = 30.0


@dataclass(frozen=True)
class ProbeStart:
    """The probe from which a reconstruction starts, and how it was found.

    Attributes
    ----------
    probe : (K, m, m) array of complex
    ranking : list of dict
        The best candidates of a search, the chosen one first: "probe", a description, and "loss", that of a
        short ptychography in units of the mean count. Empty without a search.
    seconds : float
        That the search took.
    """

    probe: NDArray[Any]
    ranking: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def note(self) -> str:
        """What the note of the start says of the probe; empty without a search."""
        return f", {self.ranking[0]['probe']}" if self.ranking else ""


def check_probe_start(scan: Scan, settings: Settings, start: Mapping[str, ArrayLike]) -> None:
    """Refuse a start with two probes, and modes that nothing would determine.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if "probe" in start and settings.probe_start != "given":
        raise ValueError(
            f"start: expected no probe beside probe_start {settings.probe_start!r}, which makes one"
        )
    if "probe" in start and settings.modes != scan.K:
        raise ValueError(
            f"start: expected no probe beside modes {settings.modes}, which changes that of the scan"
        )
    if settings.modes > scan.K and not settings.refine_probe:
        raise ValueError(
            f"modes: expected at most the {scan.K} of the scan without refine_probe, got {settings.modes}"
        )


def find_probe(scan: Scan, settings: Settings, comm: Any) -> ProbeStart:
    """Return the probe from which a reconstruction starts.

    The ranks share the candidates, and each reads the patterns that the search takes.

    Parameters
    ----------
    scan : Scan
    settings : Settings
        Resolved.
    comm : communicator or None
        All ranks take part, and get the same probe.

    Raises
    ------
    ValueError
        Data cannot be read or show no probe, or the window has no room for so many modes.
    """
    kind, modes = settings.probe_start, settings.modes
    if kind == "given":
        return ProbeStart(with_modes(scan.probe, modes))
    began = time.perf_counter()
    chosen = middle_positions(scan.positions, PATTERNS)
    part = agreed(comm, lambda: part_of(scan, chosen))
    candidates = from_first_rank(comm, lambda: probe_candidates(part, kind))
    if len(candidates) == 1:
        return ProbeStart(with_modes(candidates[0].probe, modes))
    log.info("trying %d probes on %d of %d patterns", len(candidates), part.N, scan.N)
    ranking = rank_probes(part, candidates, settings, comm)
    winner = ranking[0][0]
    plain = [{"probe": candidate.description(scan), "loss": loss} for candidate, loss in ranking]
    log.info("starting from %s", ", then ".join(f"{one['probe']}: loss {one['loss']:.4g}" for one in plain))
    # the scan's own probe keeps its scale, which may be known
    probe = scan.probe if winner.defocus is None else winner.probe
    return ProbeStart(with_modes(probe, modes), plain, time.perf_counter() - began)


def rank_probes(
    part: Scan, candidates: list[ProbeCandidate], settings: Settings, comm: Any
) -> list[tuple[ProbeCandidate, float]]:
    """Return the best candidates with their losses after a short ptychography, the best first.

    Each takes one mode, the strongest, which is enough to tell a wrong phase from a right one. The defocus
    of the best is made finer before the last comparison.

    Parameters
    ----------
    part : Scan
        Of neighbouring positions.
    candidates : list of ProbeCandidate
    settings : Settings
        Precision and transforms of the reconstruction.
    comm : communicator or None
        All ranks take part.
    """
    model = Model(
        method="ptychography",
        precision=settings.precision,
        engine=settings.engine,
        refine_probe=True,
        rescale_probe=True,
        memory="low",
    )
    compile_kernels(part, model, comm, products=False)

    def loss_of(candidate: ProbeCandidate, sweeps: float) -> float:
        return trial_loss(part.replace(probe=with_modes(candidate.probe, 1)), model, sweeps)

    begun = partial(loss_of, sweeps=FIRST_SWEEPS)
    first = ranked(candidates, begun, comm)
    for ratio in finer_ratios(first[0][0]):
        # what stands first is compared with its neighbours, and stays where they are worse
        first = sorted([*first, *ranked(neighbours(first[0][0], ratio), begun, comm)], key=lambda one: one[1])
    best = [candidate for candidate, _ in first[:FINALISTS]]
    return ranked(best, partial(loss_of, sweeps=LAST_SWEEPS), comm)
