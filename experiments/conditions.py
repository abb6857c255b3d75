"""The conditions under which the claims of the paper's section 3 are compared: the probe, and the DFT.

The paper prints neither the width of its probe nor whether its DFT is unitary. Where F is not normalised, a
gradient that carries F^* is m^2 times that of the unitary DFT. The Hessian of the paper has 1/m^2 before C2
and C3, and so remains that of the unitary DFT: the weight by gradient norms is then m^2 times larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ptyxrf.experiments.paper_cases import Case
from ptyxrf.experiments.probe_shapes import PROBES, split_name

CONVENTIONS = ("unitary", "printed")


@dataclass(frozen=True)
class Condition:
    """A probe and the convention of the DFT in the weight.

    Attributes
    ----------
    probe : str
        Name of a probe, as in `probe_shapes`.
    convention : {"unitary", "printed"}
    """

    probe: str
    convention: str

    @property
    def label(self) -> str:
        """Both in words."""
        return f"{self.probe}, {self.convention}"

    def case(self, *, small: bool, quick: bool) -> Case:
        """Return the scan: 4 x 4 positions at 15 or 16 pixels, or 2 x 2 for many dense matrices."""
        n, per_side, m = (15, 2, 8) if quick else (31, 2, 16) if small else (62, 4, 16)
        settings = {"n": n, "per_side": per_side, "m": m, "seed": 0, "specimen": "random", "noise": 0}
        return Case(f"n = {n}, m = {m}, {self.probe}", {**settings, "probe": self.probe})

    def weight(self, method: str, m: int) -> dict[str, Any]:
        """Return the factor of the gradient-norm weight as settings of a method."""
        return {"alpha_scale": float(m * m)} if (method, self.convention) == ("joint", "printed") else {}


def conditions_of(probes: str | None = None, dft: str | None = None) -> tuple[Condition, ...]:
    """Return all pairs of some probes and conventions, given as words with commas; None: all.

    Raises
    ------
    ValueError
        A word is not known.
    """
    names = PROBES if probes is None else tuple(probes.split(","))
    conventions = CONVENTIONS if dft is None else tuple(dft.split(","))
    for name in names:
        split_name(name)
    for convention in conventions:
        if convention not in CONVENTIONS:
            raise ValueError(f"dft: expected words of {', '.join(CONVENTIONS)}, got {convention!r}")
    return tuple(Condition(name, convention) for name in dict.fromkeys(names) for convention in conventions)
