"""What may differ from run to run of a study, and is no part of its definition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from heredity.errors import UsageError
from heredity.evolution.budget import Finals
from heredity.evolution.collect import KEEP_RULES, KeepRule

Live = Literal["auto", "off"]
"""Show a live view in a terminal and plain lines elsewhere, or nothing."""


@dataclass(frozen=True)
class Settings:
    """What may differ from run to run.

    Attributes:
        keep: which checkpoints are kept.
        finals: the evaluations at the end.
        timeout_s: a trial's time limit; None is 20 × the median trial, at least 10 minutes.
        disk_limit_bytes: the checkpoints' share of the disk; beyond it the study pauses.
    """

    keep: KeepRule = "needed"
    finals: Finals = field(default_factory=Finals)
    timeout_s: float | None = None
    disk_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEP_RULES:
            choices = ", ".join(map(repr, KEEP_RULES))
            raise UsageError(f"keep is one of {choices}; got {self.keep!r}")
        for name in ("timeout_s", "disk_limit_bytes"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise UsageError(f"{name} is a number above 0 or None; got {value!r}")
        for name in ("count", "evaluations"):
            value = getattr(self.finals, name)
            if not isinstance(value, int) or value < 0:
                raise UsageError(
                    f"finalists and final_evaluations are whole numbers; got {value!r}"
                )
