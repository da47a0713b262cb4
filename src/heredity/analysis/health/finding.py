"""A finding, and what all signs share: when there is enough evidence, and how a study was set up.

It judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from heredity.analysis.records import Records

Severity = Literal["warning", "note"]

Kind = Literal[
    "starving",
    "exploits never",
    "exploits always",
    "falling after exploits",
    "one ancestor",
    "spread collapsed",
    "stuck at a bound",
    "running away",
    "interval too short",
    "interval too long",
]

# Fewer members have no distribution to speak of, and in fewer turns selection has hardly begun.
LEAST_MEMBERS = 4
LEAST_TURNS = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a study that deserves a look.

    Attributes:
        kind: what it is.
        severity: "warning" if it costs results, "note" if that depends.
        evidence: the numbers it rests on, as a sentence.
        advice: the one setting to change, now or in the next study.
        trials, members, hparams: those that it is about, as far as it is about some.
    """

    kind: Kind
    severity: Severity
    evidence: str
    advice: str
    trials: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    hparams: tuple[str, ...] = ()


def enough(records: Records, turns: int = LEAST_TURNS, members: int = LEAST_MEMBERS) -> bool:
    """Whether the study has so many members, and most of these had so many turns."""
    return records.lanes >= members and float(np.median(records.turns)) >= turns


def algorithm_of(records: Records) -> Mapping[str, Any]:
    """The algorithm that decides, as JSON; of one within another, the inner one."""
    algorithm: Mapping[str, Any] = records.definition["algorithm"]
    while "algorithm" in algorithm:
        algorithm = algorithm["algorithm"]
    return algorithm


def type_of(described: Any) -> str:
    """The name of the class that described itself so; empty for None."""
    return str(described["type"]).rpartition(":")[2] if isinstance(described, Mapping) else ""


def ids(values: Any) -> tuple[int, ...]:
    """Numbers of trials or members, of Python's own type."""
    return tuple(int(value) for value in values)
