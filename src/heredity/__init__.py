"""Population Based Training: better models from the same compute, and the schedule that made them.

This page holds every public name, bound when it is first used, so that `import heredity` stays
light. What a name means stands where it is defined.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heredity.errors import AlgorithmStuck as AlgorithmStuck
    from heredity.errors import CheckpointCorrupt as CheckpointCorrupt
    from heredity.errors import CheckpointError as CheckpointError
    from heredity.errors import Conflict as Conflict
    from heredity.errors import DefinitionMismatch as DefinitionMismatch
    from heredity.errors import HeredityError as HeredityError
    from heredity.errors import HparamsError as HparamsError
    from heredity.errors import IllegalEvent as IllegalEvent
    from heredity.errors import MissingExtra as MissingExtra
    from heredity.errors import NotFound as NotFound
    from heredity.errors import SpaceError as SpaceError
    from heredity.errors import StoreError as StoreError
    from heredity.errors import TrainingError as TrainingError
    from heredity.errors import UsageError as UsageError
    from heredity.evolution.algorithm import Algorithm as Algorithm
    from heredity.evolution.algorithm import Decision as Decision
    from heredity.evolution.budget import Seconds as Seconds
    from heredity.evolution.budget import Steps as Steps
    from heredity.evolution.budget import Target as Target
    from heredity.evolution.budget import Trials as Trials
    from heredity.evolution.early_stopping import Median as Median
    from heredity.evolution.early_stopping import Stopping as Stopping
    from heredity.evolution.exploit import Deadband as Deadband
    from heredity.evolution.exploit import Tournament as Tournament
    from heredity.evolution.exploit import Truncation as Truncation
    from heredity.evolution.exploit import TTest as TTest
    from heredity.evolution.explore import Perturb as Perturb
    from heredity.evolution.generational import Generational as Generational
    from heredity.evolution.objective import Objective as Objective
    from heredity.evolution.objective import maximize as maximize
    from heredity.evolution.objective import minimize as minimize
    from heredity.evolution.pbt import PBT as PBT
    from heredity.evolution.random_search import RandomSearch as RandomSearch
    from heredity.evolution.ready import Every as Every
    from heredity.evolution.trial import Proposal as Proposal
    from heredity.evolution.trial import Trial as Trial
    from heredity.executors.inline import Inline as Inline
    from heredity.executors.processes import Processes as Processes
    from heredity.executors.vectorized import Vectorized as Vectorized
    from heredity.result import Result as Result
    from heredity.space import Categorical as Categorical
    from heredity.space import Constant as Constant
    from heredity.space import Integer as Integer
    from heredity.space import Keep as Keep
    from heredity.space import LogInteger as LogInteger
    from heredity.space import LogUniform as LogUniform
    from heredity.space import Neighbour as Neighbour
    from heredity.space import Ordinal as Ordinal
    from heredity.space import Resample as Resample
    from heredity.space import ReverseLogUniform as ReverseLogUniform
    from heredity.space import Scale as Scale
    from heredity.space import Shift as Shift
    from heredity.space import Space as Space
    from heredity.space import Uniform as Uniform
    from heredity.study import Study as Study
    from heredity.study import open as open
    from heredity.trainables.command import Command as Command
    from heredity.trainables.session import Session as Session
    from heredity.trainables.trainable import Trainable as Trainable

_HOMES = {
    "heredity.errors": (
        "AlgorithmStuck CheckpointCorrupt CheckpointError Conflict DefinitionMismatch "
        "HeredityError HparamsError IllegalEvent MissingExtra NotFound SpaceError StoreError "
        "TrainingError UsageError"
    ),
    "heredity.evolution.algorithm": "Algorithm Decision",
    "heredity.evolution.budget": "Seconds Steps Target Trials",
    "heredity.evolution.early_stopping": "Median Stopping",
    "heredity.evolution.exploit": "Deadband Tournament Truncation TTest",
    "heredity.evolution.explore": "Perturb",
    "heredity.evolution.generational": "Generational",
    "heredity.evolution.objective": "Objective maximize minimize",
    "heredity.evolution.pbt": "PBT",
    "heredity.evolution.random_search": "RandomSearch",
    "heredity.evolution.ready": "Every",
    "heredity.evolution.trial": "Proposal Trial",
    "heredity.executors.inline": "Inline",
    "heredity.executors.processes": "Processes",
    "heredity.executors.vectorized": "Vectorized",
    "heredity.result": "Result",
    "heredity.space": (
        "Categorical Constant Integer Keep LogInteger LogUniform Neighbour Ordinal Resample "
        "ReverseLogUniform Scale Shift Space Uniform"
    ),
    "heredity.study": "Study open",
    "heredity.trainables.command": "Command",
    "heredity.trainables.session": "Session",
    "heredity.trainables.trainable": "Trainable",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__version__ = "0.1.0"
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'heredity' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
