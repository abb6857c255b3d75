"""Where a reconstruction stands, in a form that a checkpoint can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from ptyxrf.driver.data.history import History, IterationRecord, Losses, Reason, Work
from ptyxrf.driver.objective.objective import Objective
from ptyxrf.driver.objective.unknown_kinds import StoredVectors
from ptyxrf.driver.solver.state import Saved

#: Name of the point among the vectors; the others are what the solver remembers.
UNKNOWNS = "unknowns"
#: Beginning of the names of arrays that the objective needs.
MEMORY = "memory."


@dataclass(frozen=True)
class RunState:
    """The state of a stage besides that of its solver.

    Attributes
    ----------
    history : History
        Up to there.
    before : Losses or None
        Of the last iteration, for the stop at the noise level.
    earlier : float
        Seconds before the solver began.
    """

    history: History
    before: Losses | None
    earlier: float


@dataclass(frozen=True)
class Resumed:
    """What a stage resumes from.

    Attributes
    ----------
    saved : Saved
        Of the solver.
    run : RunState
    work : Work
        Done so far.
    after : list of int
        The iterations after which this stage was resumed, now and earlier.
    """

    saved: Saved
    run: RunState
    work: Work
    after: list[int]


@dataclass(frozen=True)
class Ended:
    """Where a stage has ended: what the checkpoints of later stages hold of it.

    Attributes
    ----------
    stage : str
    facts : dict
        Reason, history and work, as JSON has them.
    stored : StoredVectors
        The unknowns, and what the objective needs beside them, by names that begin with the stage.
    """

    stage: str
    facts: dict[str, Any]
    stored: StoredVectors

    @classmethod
    def of(cls, objective: Objective, vector: NDArray, history: History, reason: Reason) -> Ended:
        """Return what is kept of a stage at its end; all ranks take part."""
        stage = objective.method
        stored = objective.layout.store({f"{stage}/{UNKNOWNS}": vector})
        stored.arrays |= {f"{stage}/{MEMORY}{name}": array for name, array in objective.memory().items()}
        facts = {
            "reason": reason.name,
            "history": [asdict(record) for record in history],
            "work": asdict(objective.work),
        }
        return cls(stage, facts, stored)

    @property
    def history(self) -> History:
        """Its history."""
        return History(IterationRecord(**record) for record in self.facts["history"])

    @property
    def reason(self) -> Reason:
        """Why it ended."""
        return Reason[self.facts["reason"]]

    def restore(self, objective: Objective) -> NDArray[Any]:
        """Take the objective of the stage to where it has ended; return the vector of unknowns."""
        stage, arrays = f"{self.stage}/", self.stored.arrays
        objective.restore_memory(
            {
                name.removeprefix(stage + MEMORY): array
                for name, array in arrays.items()
                if name.startswith(stage + MEMORY)
            }
        )
        vector = objective.layout.restore([stage + UNKNOWNS], self.stored)[stage + UNKNOWNS]
        objective.value_and_gradient(vector)
        objective.work = Work(**self.facts["work"])  # without that evaluation
        return vector
