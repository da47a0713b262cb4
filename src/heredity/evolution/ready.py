"""When a member is ready to exploit (Jaderberg et al. 2017, algorithm 1, `ready`)."""

from __future__ import annotations

from dataclasses import dataclass

from heredity.errors import UsageError
from heredity.evolution.view import View


@dataclass(frozen=True)
class Every:
    """Ready at the end of a trial once `after` has been trained since the last exploit or start.

    `after` below 1 is a fraction of a lane's budget, from 1 on a number of steps; 1 to 10 % of the
    run is the useful range. Where the budget does not say how many steps a lane has, a fraction
    means every trial.
    """

    after: float = 0.05

    def __post_init__(self) -> None:
        if not self.after >= 0:
            raise UsageError(
                f"Every(after=…) is a fraction or a number of steps ≥ 0, not {self.after!r}"
            )

    def ready(self, view: View, member: int) -> bool:
        """Whether the member may exploit now."""
        return bool(view.since_exploit[member] >= self._steps(view))

    def _steps(self, view: View) -> float:
        if self.after >= 1:
            return self.after
        return self.after * (view.lane_steps or 0)
