"""The preconditioner of a problem, composed of those of its unknowns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.objective.unknowns import Unknowns
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks


class Preconditioner:
    """M^-1 for vectors of some unknowns; where `identity`, M = 1."""

    def __init__(self, layout: Unknowns, identity: bool = False) -> None:
        self._layout, self._identity = layout, identity
        self._blocks: list[InverseBlocks] | None = None

    def moved(self) -> None:
        """Discard the blocks, because the point has changed; they are computed again on demand."""
        self._blocks = None

    def blocks(self) -> list[InverseBlocks]:
        """Return M^-1 of each unknown at the point last evaluated."""
        if self._blocks is None:
            kinds, held = self._layout.kinds, self._layout.held
            self._blocks = [
                kind.identity_blocks(held) if self._identity else kind.inverse_blocks(held) for kind in kinds
            ]
        return self._blocks

    def apply(self, residual: NDArray, free: NDArray[np.bool_] | None) -> NDArray[Any]:
        """Return M^-1 residual, 0 where `free` is False (those variables leave the elements' blocks)."""
        out = np.empty_like(residual)
        for blocks in self.blocks():
            blocks.apply(residual, free, out)
        return out

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, the same on every rank, from which a resumed run has the same blocks."""
        return {
            key: value for kind in self._layout.kinds for key, value in kind.preconditioner_state().items()
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take what `state` has returned."""
        for kind in self._layout.kinds:
            kind.restore_preconditioner(state)
