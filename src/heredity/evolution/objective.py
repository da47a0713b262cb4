"""The objective: which of the reported metrics is the score, and which way is better.

Outside views scores are in the user's units; `Objective.sign` turns them so that higher is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from heredity.errors import UsageError


@dataclass(frozen=True)
class Objective:
    """A metric's name and its better direction. Made by `maximize` and `minimize`."""

    name: str
    direction: Literal["maximize", "minimize"]

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise UsageError(
                f"an objective needs a metric's name, such as 'loss'; got {self.name!r}"
            )
        if self.direction not in ("maximize", "minimize"):
            raise UsageError(f"direction is 'maximize' or 'minimize', not {self.direction!r}")

    @property
    def sign(self) -> int:
        """+1 where higher is better, −1 where lower is."""
        return 1 if self.direction == "maximize" else -1


def maximize(name: str = "score") -> Objective:
    """An objective where the higher value of metric `name` is better."""
    return Objective(name, "maximize")


def minimize(name: str = "loss") -> Objective:
    """An objective where the lower value of metric `name` is better."""
    return Objective(name, "minimize")
