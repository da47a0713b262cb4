"""The space: the declared hyperparameters of a study, by name.

Owns everything that concerns hparams as a whole: sampling a population, checking, mutating,
encoding to the unit cube, interpolating. It leaves what concerns one value to its parameter and
move, and knows nothing of members, scores or trials.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping
from typing import Any, Literal, final

import numpy as np

from heredity.errors import HparamsError, MissingExtra, SpaceError, did_you_mean
from heredity.space.moves import Move, require_move
from heredity.space.numeric import Numeric
from heredity.space.parameters import Parameter, Value

Hparams = dict[str, Value]


@final
class Space(Mapping[str, Parameter]):
    """Declared hyperparameters: an immutable mapping of name to `Parameter`, in declared order.

    >>> import numpy as np
    >>> from heredity.space import LogUniform, Ordinal
    >>> space = Space(lr=LogUniform(1e-4, 1.0), batch_size=Ordinal([32, 64, 128]))
    >>> rng = np.random.Generator(np.random.Philox(0))
    >>> space.mutate({"lr": 1.0, "batch_size": 128}, rng)
    {'lr': 0.8, 'batch_size': 64}

    Names are Python identifiers that do not start with an underscore; a mapping may be given in
    place of keywords. Raises SpaceError for anything that is no parameter, and for an empty space.
    """

    __slots__ = ("_kept", "_names", "_parameters")

    def __init__(
        self, parameters: Mapping[str, Parameter] | None = None, /, **named: Parameter
    ) -> None:
        declared = dict(parameters or {})
        for name in named.keys() & declared.keys():
            raise SpaceError(f"{name} is declared twice: in the mapping and as a keyword")
        declared.update(named)
        if not declared:
            raise SpaceError("a space needs an hparam: Space(lr=hd.LogUniform(1e-4, 1.0))")
        for name, parameter in declared.items():
            _require_name(name)
            _require_parameter(name, parameter)
        self._parameters = declared
        self._names = tuple(declared)
        self._kept = frozenset(name for name, p in declared.items() if p.move.keeps)

    # A mapping ----------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        """Equal where the same parameters stand under the same names in the same order."""
        if not isinstance(other, Space):
            return NotImplemented
        return list(self._parameters.items()) == list(other._parameters.items())

    def __hash__(self) -> int:
        return hash(tuple(self._parameters.items()))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={p!r}' for name, p in self._parameters.items())})"

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in declared order: the order of `encode`'s dimensions."""
        return self._names

    @property
    def kept(self) -> frozenset[str]:
        """The names that never move and always come with the weights: `Constant` and `Keep`."""
        return self._kept

    # Sampling -----------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> Hparams:
        """Hparams drawn from the prior, each independently."""
        return {name: parameter.sample(rng) for name, parameter in self._parameters.items()}

    def sample_many(
        self,
        count: int,
        rng: np.random.Generator | int,
        method: Literal["independent", "sobol"] = "independent",
    ) -> list[Hparams]:
        """`count` hparams from the prior; a shorter list is the beginning of a longer one.

        `rng` is a generator or a seed. "sobol" covers the prior more evenly than independent draws
        do, by a scrambled Sobol' sequence (Owen 1998). It needs scipy, and raises MissingExtra
        without it rather than draw something else: equal seeds give equal populations everywhere.
        """
        if not isinstance(rng, np.random.Generator):
            rng = np.random.Generator(np.random.Philox(rng))
        if method == "independent":
            return [self.sample(rng) for _ in range(count)]
        if method != "sobol":
            raise SpaceError(f'method is "independent" or "sobol", not {method!r}')
        return [
            {name: p.quantile(u) for (name, p), u in zip(self.items(), point, strict=True)}
            for point in _sobol(len(self), count, rng)
        ]

    # Checking -----------------------------------------------------------------------------------

    def check(self, hparams: Mapping[str, object]) -> Hparams:
        """The hparams in declared order and in each parameter's type.

        Raises HparamsError that lists every problem: missing and unknown names, values of the
        wrong type or outside their bounds.
        """
        missing = [f"{name} is missing" for name in self._names if name not in hparams]
        return self._checked(hparams, missing)

    def check_partial(self, hparams: Mapping[str, object]) -> Hparams:
        """As `check`, but any of the names may be left out."""
        return self._checked(hparams, [])

    def _checked(self, hparams: Mapping[str, object], problems: list[str]) -> Hparams:
        for name in hparams:
            if name not in self._parameters:
                problems.append(f"{name} is not declared.{did_you_mean(str(name), self._names)}")
        checked: Hparams = {}
        for name in self._names:
            if name in hparams:
                try:
                    checked[name] = self._parameters[name].check(name, hparams[name])
                except HparamsError as error:
                    problems.append(str(error))
        if problems:
            raise HparamsError("; ".join(problems))
        return checked

    # Mutating -----------------------------------------------------------------------------------

    def mutate(
        self,
        hparams: Mapping[str, Value],
        rng: np.random.Generator,
        moves: Mapping[str, Move[Any]] | None = None,
    ) -> Hparams:
        """Every hparam after its own move, each with draws of its own.

        All differ from those given, but for the kept and those with a single value. `moves`
        replaces the declared moves of the names it holds, which may not be kept ones.
        """
        if hparams.keys() != self._parameters.keys():
            self.check(hparams)
        for name, move in (moves or {}).items():
            self._require_movable(name, move)
        return {
            name: (moves[name] if moves and name in moves else parameter.move).move(
                parameter, hparams[name], rng
            )
            for name, parameter in self._parameters.items()
        }

    def _require_movable(self, name: str, move: Move[Any]) -> None:
        if name in self._kept:
            raise SpaceError(
                f"{name} comes with the weights ({self[name]!r}) and cannot be moved by {move!r}"
            )
        require_move(move, self._declared(name))

    # The unit cube ------------------------------------------------------------------------------

    def encode(self, hparams: Mapping[str, Value]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The hparams as a point of the unit cube, shape (len(space),), each on its own scale.

        0 and 1 are the bounds (for a list: its first and last choice's outer edges).
        """
        codes = [p.encode(hparams[name]) for name, p in self._parameters.items()]
        return np.array(codes, dtype=np.float64)

    def decode(self, vector: Any) -> Hparams:
        """The hparams at a point of the unit cube, of shape (len(space),): `encode`'s inverse."""
        point = np.asarray(vector, dtype=np.float64)
        if point.shape != (len(self),):
            raise HparamsError(f"expected a vector of {len(self)} numbers, not shape {point.shape}")
        return {
            name: parameter.decode(u)
            for (name, parameter), u in zip(self.items(), point.tolist(), strict=True)
        }

    def interpolate(
        self, a: Mapping[str, Value], b: Mapping[str, Value], fraction: float
    ) -> Hparams:
        """Hparams on the way from `a` (fraction 0) to `b` (fraction 1), each on its own scale.

        Integers and ordered choices round. Categories and kept hparams are `b`'s from the start:
        there is nothing between them.
        """
        return {name: self._between(name, a[name], b[name], fraction) for name in self._names}

    def _between(self, name: str, a: Value, b: Value, fraction: float) -> Value:
        parameter = self._parameters[name]
        if fraction >= 1.0 or a == b or name in self._kept or parameter.kind == "categorical":
            return b
        if fraction <= 0.0:
            return a
        start = parameter.encode(a)
        return parameter.decode(start + fraction * (parameter.encode(b) - start))

    # Changing -----------------------------------------------------------------------------------

    def with_bounds(self, name: str, low: float, high: float) -> Space:
        """A space where numeric hparam `name` has other bounds.

        Its prior is cut to them, so to undo a change start from the declared space. Raises
        SpaceError for a name that has no bounds or is part of the weights.
        """
        parameter = self._declared(name)
        if name in self._kept:
            raise SpaceError(f"{name} is part of the weights ({parameter!r}): its bounds stay")
        if not isinstance(parameter, Numeric):
            raise SpaceError(f"{name} has no bounds: it is {parameter!r}")
        try:
            changed = parameter.rebounded(low, high)
        except SpaceError as error:
            raise SpaceError(f"{name}: {error}") from None
        return Space({**self._parameters, name: changed})

    def _declared(self, name: str) -> Parameter:
        if name not in self._parameters:
            raise SpaceError(f"{name} is not declared.{did_you_mean(name, self._names)}")
        return self._parameters[name]


def _require_name(name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise SpaceError(f"an hparam's name is a Python identifier such as `lr`, not {name!r}")
    if keyword.iskeyword(name):
        raise SpaceError(f"{name!r} is a Python keyword: call the hparam `{name}_`")
    if name.startswith("_"):
        raise SpaceError(f"an hparam's name does not start with an underscore: {name!r}")


def _require_parameter(name: str, parameter: object) -> None:
    if isinstance(parameter, Parameter):
        return
    if isinstance(parameter, (bool, int, float, str)):
        raise SpaceError(f"{name} is the plain value {parameter!r}: write Constant({parameter!r})")
    if isinstance(parameter, (list, tuple)):
        raise SpaceError(
            f"{name} is the plain list {parameter!r}: write Ordinal or Categorical([...])"
        )
    raise SpaceError(f"{name} must be a parameter such as LogUniform(1e-4, 1.0), not {parameter!r}")


def _sobol(dims: int, count: int, rng: np.random.Generator) -> list[list[float]]:
    try:
        from scipy.stats import qmc
    except ImportError as error:
        raise MissingExtra("sobol", 'sample_many(method="sobol")', "scipy") from error
    # Whole powers of two keep the sequence balanced; its beginning is as good as any.
    exponent = max(count - 1, 0).bit_length()
    points: list[list[float]] = qmc.Sobol(dims, rng=rng).random_base2(exponent)[:count].tolist()
    return points
