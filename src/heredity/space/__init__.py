"""The declared hyperparameters: parameters (prior, bounds), moves (mutation) and the space.

Pure: data in, data out; the only randomness is the generator that is passed in. Knows nothing of
members, trials, scores or training.
"""

from heredity.space.moves import Keep, Move, Neighbour, Resample, Scale, Shift
from heredity.space.numeric import (
    Integer,
    LogInteger,
    LogUniform,
    Numeric,
    ReverseLogUniform,
    Uniform,
)
from heredity.space.parameters import Categorical, Constant, Ordinal, Parameter, Value
from heredity.space.space import Hparams, Space

__all__ = [
    "Categorical",
    "Constant",
    "Hparams",
    "Integer",
    "Keep",
    "LogInteger",
    "LogUniform",
    "Move",
    "Neighbour",
    "Numeric",
    "Ordinal",
    "Parameter",
    "Resample",
    "ReverseLogUniform",
    "Scale",
    "Shift",
    "Space",
    "Uniform",
    "Value",
]
