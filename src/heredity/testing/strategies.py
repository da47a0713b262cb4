"""Hypothesis strategies: parameters, spaces and random generators; studies, logs and populations.

Everything they make is valid; what must be refused is for each test to write down. Needs
`hypothesis`, which only tests have, so nothing but a test imports this file.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from heredity.evolution.algorithm import Algorithm
from heredity.evolution.budget import Finals, Limit, Seconds, Steps, Trials
from heredity.evolution.early_stopping import Median, Stopping
from heredity.evolution.events import Event, StudyResumed
from heredity.evolution.exploit import Deadband, Exploit, Tournament, Truncation, TTest
from heredity.evolution.explore import Explore, Perturb
from heredity.evolution.generational import Generational
from heredity.evolution.pbt import PBT
from heredity.evolution.population import Population
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.ready import Every
from heredity.space import (
    Categorical,
    Constant,
    Hparams,
    Integer,
    Keep,
    LogInteger,
    LogUniform,
    Move,
    Neighbour,
    Numeric,
    Ordinal,
    Parameter,
    Resample,
    ReverseLogUniform,
    Scale,
    Shift,
    Space,
    Uniform,
    Value,
)
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy

# Where the ends of each numeric parameter's bounds may lie.
_REACH: dict[type[Numeric], tuple[float, float]] = {
    Uniform: (-1e6, 1e6),
    LogUniform: (1e-9, 1e6),
    ReverseLogUniform: (-10.0, 1.0 - 1e-9),
    Integer: (-10_000, 10_000),
    LogInteger: (1, 1_000_000),
}

BUDGETS: list[tuple[Limit, ...]] = [(Steps(40),), (Trials(17),), (Steps(30), Seconds(60.0))]
"""Of small studies."""

_WORDS = st.text("abcdefgh", min_size=1, max_size=6)


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Random generators of any seed."""
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: np.random.Generator(np.random.Philox(seed)))


@st.composite
def scales(draw: st.DrawFn) -> Scale:
    """`Scale` moves of two to four factors."""
    below = draw(st.lists(st.floats(0.1, 0.99), min_size=1, max_size=2))
    above = draw(st.lists(st.floats(1.01, 10.0), min_size=1, max_size=2))
    return Scale((*below, *above))


def shifts() -> st.SearchStrategy[Shift]:
    """`Shift` moves, by an amount or by a fraction."""
    amounts = st.floats(1e-6, 1e6).map(Shift)
    return amounts | st.floats(1e-6, 1.0).map(lambda fraction: Shift(fraction=fraction))


def moves(kind: type[Parameter]) -> st.SearchStrategy[Move[Any]]:
    """Every move that a parameter of this class understands."""
    suitable: list[st.SearchStrategy[Move[Any]]] = [st.just(Keep())]
    if kind is not Constant:
        suitable.append(st.just(Resample()))
    if issubclass(kind, Numeric):
        suitable += [scales(), shifts()]
    if kind in (Integer, LogInteger, Ordinal):
        suitable.append(st.integers(1, 3).map(Neighbour))
    return st.one_of(suitable)


@st.composite
def numerics(draw: st.DrawFn, kind: type[Numeric] | None = None) -> Numeric:
    """Numeric parameters: any prior, equal to its bounds or inside them, and any move."""
    kind = kind or draw(st.sampled_from(list(_REACH)))
    lower, upper = draw(_intervals(kind, *_REACH[kind]))
    low, high = draw(_intervals(kind, lower, upper) | st.just((lower, upper)))
    return kind(low, high, bounds=(lower, upper), move=draw(moves(kind)))


def _intervals(
    kind: type[Numeric], low: float, high: float
) -> st.SearchStrategy[tuple[float, float]]:
    """Pairs in order within [low, high]; the same number twice, or apart enough to tell apart."""
    whole = kind in (Integer, LogInteger)
    ends = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    pairs = st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair)))
    return pairs.filter(
        lambda pair: pair[0] == pair[1] or pair[1] - pair[0] > 1e-6 * max(map(abs, pair))
    )


@st.composite
def choices(draw: st.DrawFn, kind: type[Ordinal] | type[Categorical] = Ordinal) -> Parameter:
    """`Ordinal` or `Categorical` parameters of one to six values of one type, and any move."""
    values: st.SearchStrategy[Value] = draw(
        st.sampled_from([st.booleans(), st.integers(-100, 100), st.floats(-1.0, 1.0), _WORDS])
    )
    listed = draw(st.lists(values, min_size=1, max_size=6, unique=True))
    return kind(listed, move=draw(moves(kind)))


def constants() -> st.SearchStrategy[Constant]:
    """`Constant` parameters."""
    return st.one_of(st.booleans(), st.integers(), st.floats(-1.0, 1.0), _WORDS).map(Constant)


def parameters() -> st.SearchStrategy[Parameter]:
    """Parameters of every class, each with any move it understands."""
    return st.one_of(numerics(), choices(Ordinal), choices(Categorical), constants())


def values(parameter: Parameter) -> st.SearchStrategy[Value]:
    """Values within the bounds of `parameter`, its bounds among them."""
    return st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)).map(parameter.decode)


def spaces(min_size: int = 1, max_size: int = 5) -> st.SearchStrategy[Space]:
    """Spaces of parameters of every class."""
    names = st.from_regex(r"[a-z][a-z0-9]{0,7}", fullmatch=True).map(lambda name: f"{name}_")
    declared = st.dictionaries(names, parameters(), min_size=min_size, max_size=max_size)
    return declared.map(Space)


def hparams(space: Space) -> st.SearchStrategy[Hparams]:
    """Hparams within the bounds of `space`."""
    return st.fixed_dictionaries({name: values(parameter) for name, parameter in space.items()})


# Populations ------------------------------------------------------------------------------------


def exploits() -> st.SearchStrategy[Exploit | None]:
    """Every exploit rule, so set that it fires often, and none."""
    rules = [None, Truncation(0.2), Truncation(0.5), Tournament(), TTest(0.3, 2), Deadband(0.5)]
    return st.sampled_from(rules)


def explores() -> st.SearchStrategy[Explore | Move[Any] | None]:
    """Every explore rule, and none."""
    return st.sampled_from([None, Perturb(), Perturb(resample=0.5), Resample()])


def algorithms() -> st.SearchStrategy[Algorithm]:
    """`PBT` and `Generational` with all their options, `RandomSearch`, and all with `Stopping`."""
    pbt = st.builds(
        PBT,
        exploit=exploits(),
        explore=explores(),
        ready=st.sampled_from([Every(), Every(0), Every(12)]),
        mode=st.sampled_from(["async", "sync"]),
        copy=st.sampled_from(["all", "weights", "hparams"]),
        compare=st.sampled_from(["same step", "latest"]),
        average=st.integers(1, 3),
        ramp=st.sampled_from([0.0, 0.5]),
        measure=st.sampled_from([1.0, 0.5]),
    )
    generational = st.builds(
        Generational,
        explore=explores(),
        crossover=st.sampled_from([0.0, 0.5, 1.0]),
        weights=st.sampled_from([None, (0.5,)]),
    )
    alone = pbt | generational | st.builds(RandomSearch, average=st.integers(1, 3))
    rules = st.builds(Median, after=st.sampled_from([0, 0.5, 3]), others=st.integers(1, 3))
    return alone | st.builds(Stopping, alone, rules)


@st.composite
def plays(draw: st.DrawFn, algorithm: st.SearchStrategy[Algorithm] | None = None) -> Play:
    """Small noisy studies that have not begun: any algorithm, budget, number of slots, order of
    arrivals and misfortune."""
    definition = noisy().definition(
        draw(algorithm or algorithms()),
        population=draw(st.integers(1, 6)),
        interval=draw(st.integers(3, 10)),
        seed=draw(st.integers(0, 9)),
    )
    rates = {
        kind: draw(st.sampled_from([0.0, 0.1])) for kind in ("error", "lost", "diverged", "stopped")
    }
    return Play(
        definition,
        draw(st.sampled_from(BUDGETS)),
        noisy().run,
        slots=draw(st.integers(1, 8)),
        order=draw(st.integers(0, 99)),
        mishaps=mishaps(draw(st.integers(0, 99)), **rates),
        finals=draw(st.sampled_from([Finals(0, 0), Finals(2, 3)])),
        keep=draw(st.sampled_from(["needed", "lineage", "all"])),
    )


@st.composite
def logs(draw: st.DrawFn, whole: bool = False) -> list[Event]:
    """Legal event sequences: a small study, with drivers that die and people who resume it; from
    its creation to its end, or to anywhere before."""
    play = draw(plays())
    restart_every = draw(st.sampled_from([3, 10, 1000]))
    turns = 0
    while play.turn() or play.population.status == "paused":
        turns += 1
        if play.population.status == "paused":
            play.append(StudyResumed())
        elif turns % restart_every == 0:
            play.restart()
    return play.log if whole else play.log[: draw(st.integers(1, len(play.log)))]


def populations() -> st.SearchStrategy[Population]:
    """Populations at any moment of a small study."""
    return logs().map(Population.fold)
