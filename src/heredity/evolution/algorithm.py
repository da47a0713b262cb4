"""The seam of evolution: an algorithm looks at a view of the population and decides what is next.

    decide(view, free) -> Decision        retains(view) -> set of trials

Both are pure: data in, data out, `view.rng` the only randomness. An algorithm is a frozen dataclass
of JSON values and other such strategies, so that a study's definition can hold it. It never sees an
event, a store or an executor, and cannot change a view.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from heredity.evolution.trial import Proposal

if TYPE_CHECKING:
    from heredity.evolution.definition import Definition
    from heredity.evolution.view import View


@dataclass(frozen=True, slots=True)
class Decision:
    """What an algorithm wants.

    Attributes:
        proposals: trials to start, most urgent first, at most one for each lane that is idle.
        stop: running trials to end early.
        done: a reason to end the study before its budget is used, or None.

    An empty decision waits while something runs.
    """

    proposals: tuple[Proposal, ...] = ()
    stop: tuple[int, ...] = ()
    done: str | None = None


class Algorithm(ABC):
    """Decides what comes next from a view of the population. Subclasses are frozen dataclasses.

    Attributes:
        watches: whether decisions look at intermediate measurements, which are then events.
    """

    watches: ClassVar[bool] = False

    @abstractmethod
    def decide(self, view: View, free: int) -> Decision:
        """What to do now that `free` slots are free.

        A decision for fewer slots is the beginning of the decision for more, unless the algorithm
        decides for all lanes at once; then it ignores `free` and the driver queues.
        """

    @abstractmethod
    def retains(self, view: View) -> set[int]:
        """The trials whose checkpoints a later decision may still want."""

    def check(self, definition: Definition) -> None:  # noqa: B027
        """Raise `UsageError` if this algorithm cannot serve the study, before it runs."""
