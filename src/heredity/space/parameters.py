"""Parameters: what one declared hyperparameter is, and the ones that choose from a list.

Every parameter maps its bounds to the unit interval and back (`encode`, `decode`), and the unit
interval to its prior (`quantile`). Values are JSON scalars: bool, int, float and str of Python,
never of numpy. A parameter knows neither its name nor the other parameters; `Space` does.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, final

from heredity.errors import HparamsError, SpaceError, UsageError
from heredity.space.moves import Keep, Move, Neighbour, Resample, require_move

if TYPE_CHECKING:
    from numpy.random import Generator

Value: TypeAlias = bool | int | float | str
Kind: TypeAlias = Literal["real", "integer", "ordinal", "categorical", "constant"]


class Parameter(ABC):
    """One hyperparameter. Final subclasses are frozen dataclasses whose fields are JSON values."""

    kind: ClassVar[Kind]
    default_move: ClassVar[Move[Any]]
    move: Move[Any]

    @property
    @abstractmethod
    def single(self) -> bool:
        """Whether only one value lies within the bounds, so that no move can change it."""

    @abstractmethod
    def quantile(self, u: float) -> Value:
        """The prior's inverse distribution function at `u` in [0, 1]."""

    @abstractmethod
    def encode(self, value: Any) -> float:
        """The place of `value` within the bounds, in [0, 1], on the parameter's own scale."""

    @abstractmethod
    def decode(self, u: float) -> Value:
        """The value at `u` in [0, 1] within the bounds: the inverse of `encode`."""

    @abstractmethod
    def clip(self, value: Any) -> Value:
        """The value within the bounds that is nearest to `value`."""

    @abstractmethod
    def check(self, name: str, value: object) -> Value:
        """`value` in this parameter's type; HparamsError, naming `name`, if it does not fit."""

    @final
    def sample(self, rng: Generator) -> Value:
        """A draw from the prior."""
        return self.quantile(rng.random())

    def _settle(self, move: Move[Any] | None, when: object, **fields: object) -> None:
        """Set the fields of this frozen object, `move` among them, once all of them make sense."""
        if when is not None:
            raise SpaceError(
                f"conditional hparams (when={when!r}) are not supported yet: declare this one "
                "without `when`, and ignore it in the training code where it does not apply"
            )
        move = self.default_move if move is None else move
        require_move(move, self)
        for name, value in {**fields, "move": move}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, init=False, repr=False)
class _Choices(Parameter):
    """One of a list of distinct JSON scalars. The list is the bounds; each is equally likely."""

    choices: tuple[Value, ...]
    move: Move[Any]

    def __init__(
        self, choices: Iterable[Value], move: Move[Any] | None = None, when: object = None
    ) -> None:
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise SpaceError(f"{type(self).__name__} takes a list of choices, not {choices!r}")
        choices = tuple(_scalar(choice) for choice in choices)
        if not choices:
            raise SpaceError(f"{type(self).__name__} needs at least one choice")
        if len(set(choices)) < len(choices):
            raise SpaceError(
                f"{type(self).__name__}: choices must differ from each other, also as numbers "
                f"(True equals 1); got {list(choices)}"
            )
        self._settle(move, when, choices=choices)

    def __repr__(self) -> str:
        move = "" if self.move == self.default_move else f", move={self.move!r}"
        return f"{type(self).__name__}({list(self.choices)!r}{move})"

    @property
    def single(self) -> bool:
        return len(self.choices) == 1

    def quantile(self, u: float) -> Value:
        return self.decode(u)

    def encode(self, value: Value) -> float:
        return (self.index(value) + 0.5) / len(self.choices)

    def decode(self, u: float) -> Value:
        last = len(self.choices) - 1
        return self.choices[min(int(unit(u) * len(self.choices)), last)]

    def clip(self, value: Value) -> Value:
        return self.choices[self.index(value)]

    def check(self, name: str, value: object) -> Value:
        return self.choices[self.index(value, name)]

    def index(self, value: object, name: str = "a choice") -> int:
        """The place of `value` among the choices; HparamsError, naming `name`, if it has none."""
        for index, choice in enumerate(self.choices):
            if _same(choice, value):
                return index
        raise HparamsError(f"{name} must be one of {list(self.choices)}, not {value!r}")


@final
class Ordinal(_Choices):
    """One of an ordered list, such as batch sizes; moves to a neighbour.

    >>> Ordinal([32, 64, 128]).encode(64)
    0.5
    """

    kind = "ordinal"
    default_move = Neighbour()

    def room(self, value: Value) -> tuple[float, float]:
        """How many choices there are before, and after, `value`."""
        index = self.index(value)
        return index, len(self.choices) - 1 - index

    def moved(self, value: Value, step: float, rng: Generator) -> Value:
        """The choice `step` places on, for which there is room."""
        return self.choices[self.index(value) + int(step)]


@final
class Categorical(_Choices):
    """One of a list without order, such as activations; moves to any other one.

    >>> Categorical(["relu", "tanh"]).decode(0.9)
    'tanh'
    """

    kind = "categorical"
    default_move = Resample()


@final
@dataclass(frozen=True, init=False, repr=False)
class Constant(Parameter):
    """A single value that never moves.

    >>> Constant(50).quantile(0.3)
    50
    """

    value: Value
    move: Move[Any]

    kind = "constant"
    default_move = Keep()
    single = True

    def __init__(self, value: Value, move: Move[Any] | None = None, when: object = None) -> None:
        self._settle(move, when, value=_scalar(value))

    def __repr__(self) -> str:
        return f"Constant({self.value!r})"

    def quantile(self, u: float) -> Value:
        return self.value

    def encode(self, value: Value) -> float:
        return 0.5

    def decode(self, u: float) -> Value:
        return self.value

    def clip(self, value: Value) -> Value:
        return self.value

    def check(self, name: str, value: object) -> Value:
        if not _same(self.value, value):
            raise HparamsError(f"{name} is {value!r}, but is declared Constant({self.value!r})")
        return self.value


def unit(u: float) -> float:
    """`u` brought into [0, 1]; UsageError for NaN, which lies nowhere."""
    if math.isnan(u):
        raise UsageError("an encoded value must be a number from 0 to 1, not NaN")
    return min(max(u, 0.0), 1.0)


def _scalar(value: object) -> Value:
    """`value` if it is a JSON scalar other than null, else SpaceError."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SpaceError(f"a value must be finite, not {value!r}")
    if type(value) not in (bool, int, float, str):
        raise SpaceError(
            f"a value must be a bool, int, float or str, not {value!r} ({type(value).__name__}); "
            'name anything else, for example "none", and look it up in the training code'
        )
    return value  # type: ignore[return-value]


def _same(choice: Value, value: object) -> bool:
    """Equal as scalars, and both or neither a boolean."""
    if not isinstance(value, (str, numbers.Real)):
        return False
    return choice == value and isinstance(choice, bool) == isinstance(value, bool)
