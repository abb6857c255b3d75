"""Wrong models: a wrong sensitivity, or an absorbing element without fluorescence data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ptyxrf.driver.data.scan import Scan
from ptyxrf.experiments.claims import Claim
from ptyxrf.experiments.findings import Findings, Table
from ptyxrf.experiments.paper_cases import Case, paper_case
from ptyxrf.experiments.run_cache import RunCache

TITLE = "Wrong models"
PAPER = "beyond the paper"
SENSITIVITY = (1.0, 1.02, 1.1, 1.3)
UNSEEN = (0.05, 0.2)


def run(cache: RunCache) -> Findings:
    """Determine which errors of the model make the joint method worse than ptychography."""
    base = paper_case("83 % overlap", n=154, per_side=10, quick=cache.quick)
    two = base.but(elements=2)
    cases = [
        wrong(
            base,
            f"sensitivity {100 * (factor - 1):.0f} % too high",
            {"sensitivity": factor},
            with_sensitivity(factor),
        )
        for factor in SENSITIVITY
    ]
    for share in UNSEEN:
        text = f"{100 * share:.0f} % of y from an unseen element"
        shared = {"unseen": share}
        cases.append(wrong(share_of_second(two, share), text, shared, without_second))
        known = {**shared, "in the model": True}
        cases.append(
            wrong(share_of_second(two, share), f"{text}, in the model without data", known, unmeasured_second)
        )
    rows, claims = [], []
    for case in cases:
        alone = cache.tuned_run(case, "ptychography").history[-1].errors
        for alpha in ("statistical", "gradnorm"):
            joint = cache.tuned_run(case, "joint", alpha=alpha).history[-1].errors
            ratios = [
                joint[name] / alone[name] for name in ("mse", "mse_aligned", "mse_imaginary_illuminated")
            ]
            worse = [name for name, ratio in zip(("raw", "aligned", "y"), ratios, strict=True) if ratio > 1]
            rows.append([case.label, alpha, *ratios, ", ".join(worse) or "nowhere"])
            if alpha == "statistical":
                claims.append(
                    Claim(
                        f"mismatch: {case.label}",
                        f"{case.label}: joint (statistical weight) not worse than ptychography, aligned",
                        ratios[1] <= 1.02,
                        "joint / ptychography: raw {:.3g}, aligned {:.3g}, y {:.3g}".format(*ratios),
                    )
                )
    head = ("model", "weight", "raw MSE", "aligned MSE", "MSE of y", "joint is worse in")
    table = Table("Error of the joint method over ptychography's", head, rows)
    return Findings(claims, [table], numbers={"mismatch": table.records()})


def wrong(case: Case, label: str, changed: dict[str, Any], change: Callable[[Scan], Scan]) -> Case:
    """Return a case whose scan has a wrong model."""
    return replace(case, label=label, change=change, changed=changed)


def with_sensitivity(factor: float) -> Callable[[Scan], Scan]:
    """Return the change that multiplies the sensitivity by a factor."""
    return lambda scan: scan.replace(sensitivity=scan.sensitivity * factor)


def share_of_second(case: Case, share: float) -> Case:
    """Return a scan of two elements, the second of which contributes a share of y."""
    first, second = case.scan.truth["elements"]
    return case.but(attenuation=[1.0, float(share / (1 - share) * first.mean() / second.mean())])


def without_second(scan: Scan) -> Scan:
    """Remove the second element from the data and from the model."""
    maps, scales = np.asarray(scan.fluorescence), np.asarray(scan.fluorescence_count_scale)
    return scan.replace(
        fluorescence=maps[:1],
        attenuation=scan.attenuation[:1],
        element_names=scan.element_names[:1],
        fluorescence_count_scale=scales[:1],
        truth={**scan.truth, "elements": scan.truth["elements"][:1]},
    )


def unmeasured_second(scan: Scan) -> Scan:
    """Remove the second element from the data, but not from the model."""
    maps = np.array(scan.fluorescence)
    maps[1] = np.nan
    return scan.replace(fluorescence=maps)
