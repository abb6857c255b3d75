"""Whether data can be reconstructed at all: what is known to be wrong about them, before time is spent."""

from __future__ import annotations

import warnings

import numpy as np

from ptyxrf.driver.data.machine_memory import machine_memory
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.scan_checks import DIFFRACTION_CHECKS, check_probe, extent_problem, findings_about
from ptyxrf.driver.data.scan_measures import PatternSummary
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.reconstruction.settings import Settings


class SuspiciousScan(UserWarning):
    """Something about a scan is suspicious; ``ptyxrf info`` shows all that is."""


def refuse_too_large(scan: Scan, ranks: int) -> None:
    """Refuse positions whose object grid no memory holds, before any is taken.

    Parameters
    ----------
    scan : Scan
    ranks : int
        Their number; each may be on a machine as large as this one.
    """
    if problem := extent_problem(scan, float(machine_memory()) * ranks):
        raise ValueError(problem)


def judge(data: LocalData, settings: Settings) -> None:
    """Refuse a scan that is wrong unless asked to go on, and warn of what is suspicious; all ranks take part.

    Parameters
    ----------
    data : LocalData
        As it was read.
    settings : Settings
        Resolved.

    Raises
    ------
    ValueError
        Something is wrong, and `force` is not set.

    Warns
    -----
    SuspiciousScan
    """
    if data.patterns is None:
        return
    # a probe that is refined is rescaled first
    checks = [check for check in DIFFRACTION_CHECKS if check is not check_probe or not settings.rescale_probe]
    findings = findings_about(data.scan, _summary(data), checks)
    wrong = [finding.text for finding in findings if finding.level == "wrong"]
    if wrong and not settings.force:
        raise ValueError(f"scan: {'; '.join(wrong)} (force goes on all the same)")
    for finding in findings:
        if finding.level != "note":
            warnings.warn(finding.text, SuspiciousScan, stacklevel=2)


def _summary(data: LocalData) -> PatternSummary:
    """Return the summary of the patterns of all ranks."""
    assert data.patterns is not None
    scan, unit = data.scan, data.patterns.mean_count
    totals, maxima = np.zeros((2, scan.N))
    total, good = np.zeros((2, scan.m, scan.m))
    for place, amplitudes in zip(data.tile.positions, data.patterns.amplitudes, strict=True):
        known = amplitudes >= 0
        counts = unit * np.where(known, amplitudes, 0).astype(np.float64) ** 2
        totals[place], maxima[place] = counts.sum(), counts.max()
        total += counts
        good += known
    parts = data.ranks.sum(np.concatenate([totals, maxima, total.ravel(), good.ravel()]))
    totals, maxima, images = parts[: scan.N], parts[scan.N : 2 * scan.N], parts[2 * scan.N :]
    mean, share = np.fft.fftshift(images.reshape(2, scan.m, scan.m), axes=(1, 2)) / scan.N
    return PatternSummary(mean, totals, maxima, 0, 0, data.patterns.whole, share)
