"""Random search: the baseline that every comparison needs."""

from __future__ import annotations

from dataclasses import dataclass

from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.lanes import can_go_on, from_scratch, go_on, going_on_from
from heredity.evolution.trial import Proposal
from heredity.evolution.view import View


@dataclass(frozen=True)
class RandomSearch(Algorithm):
    """Each member draws hparams from the prior and trains with them to the end of its budget.

    It trains in the same trials as PBT, so the two are compared at equal steps and the best model
    so far can be read at any time. A member that diverges or keeps failing starts again with a new
    draw. `average`: how many of the last scores make a member's score.
    """

    average: int = 1

    def decide(self, view: View, free: int) -> Decision:
        return Decision(tuple(self._next(view, member) for member in view.idle()[: max(0, free)]))

    def retains(self, view: View) -> set[int]:
        return going_on_from(view)

    def _next(self, view: View, member: int) -> Proposal:
        last = int(view.latest[member])
        if last >= 0 and can_go_on(view, last):
            return go_on(view, member)
        return from_scratch(
            view, member, "first start" if last < 0 else "new start after a failure"
        )
