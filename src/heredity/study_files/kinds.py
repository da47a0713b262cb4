"""The classes a study file may name, and the fields that each of them takes.

Both are read off the classes: a field added to one of them is a key in study files at once.
"""

from __future__ import annotations

import functools
import inspect
import re
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from heredity.evolution.budget import Seconds, Steps, Target, Trials
from heredity.evolution.early_stopping import Median, Stopping
from heredity.evolution.exploit import Deadband, Tournament, Truncation, TTest
from heredity.evolution.explore import Perturb
from heredity.evolution.generational import Generational
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.ready import Every
from heredity.executors.inline import Inline
from heredity.executors.processes import Processes
from heredity.executors.vectorized import Vectorized
from heredity.space import (
    Categorical,
    Constant,
    Integer,
    Keep,
    LogInteger,
    LogUniform,
    Neighbour,
    Ordinal,
    Resample,
    ReverseLogUniform,
    Scale,
    Shift,
    Uniform,
)

PARAMETERS = (
    *(Uniform, LogUniform, ReverseLogUniform, Integer, LogInteger),
    *(Ordinal, Categorical, Constant),
)
MOVES = Scale, Shift, Neighbour, Resample, Keep
STRATEGIES = Truncation, Tournament, TTest, Deadband, Perturb, Every, Median
ALGORITHMS = PBT, Generational, RandomSearch, Stopping
EXECUTORS = Inline, Processes, Vectorized

KINDS: dict[str, Any] = {
    cls.__name__: cls for cls in (*PARAMETERS, *MOVES, *STRATEGIES, *ALGORITHMS, *EXECUTORS)
}
"""By the name that a table's `type` gives."""

LIMITS: dict[str, Any] = {
    "steps": Steps,
    "trials": Trials,
    "seconds": Seconds,
    "target": Target,
}
"""By the key of `[budget]`."""

NONE = "none"
"""How a study file, which knows no null, says None where that is not the default."""


@dataclass(frozen=True)
class Field:
    """What a class takes under a name.

    Attributes:
        annotation: its type.
        default: its default, or `inspect.Parameter.empty`.
        text: what the class's docstring says of it.
    """

    annotation: Any
    default: Any
    text: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    @property
    def nullable(self) -> bool:
        """Whether it may be "none"."""
        optional = NoneType in get_args(self.annotation)
        return optional and not self.required and self.default is not None


@functools.cache
def fields_of(cls: Any) -> dict[str, Field]:
    """What the class takes, by name, in its own order.

    >>> list(fields_of(LogUniform)), fields_of(PBT)["exploit"].nullable
    (['low', 'high', 'bounds', 'move'], True)
    """
    texts = entries(inspect.getdoc(cls) or "")
    return {
        name: Field(parameter.annotation, parameter.default, texts.get(name, ""))
        for name, parameter in inspect.signature(cls, eval_str=True).parameters.items()
        if parameter.annotation is not object  # `when`, which is not there yet
    }


def entries(doc: str) -> dict[str, str]:
    """What a docstring says under `Args:` or `Attributes:`, by name.

    >>> entries('''A thing.
    ...
    ... Attributes:
    ...     one, two: numbers,
    ...         both of them.
    ... ''')
    {'one': 'numbers, both of them.', 'two': 'numbers, both of them.'}
    """
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?|\n)+)", doc, re.MULTILINE)
    found = re.findall(
        r"^    (\w[\w, ]*): (.*(?:\n        .*)*)",
        section.group(1) if section else "",
        re.MULTILINE,
    )
    return {
        name: " ".join(text.split()) for names, text in found for name in re.split(", *", names)
    }
