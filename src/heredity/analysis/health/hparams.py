"""Signs in the hparams: the members have become alike, or press against a bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heredity.analysis.diversity import diversity
from heredity.analysis.health.finding import Finding, algorithm_of, enough, ids, type_of
from heredity.analysis.records import Bools, Records
from heredity.space.moves import LEAST_FRACTION, Scale
from heredity.space.numeric import Numeric
from heredity.space.parameters import Parameter

# A learning rate drawn from four decades has a spread of 0.29 of them, and moves by 0.02 of them at
# × 0.8 or × 1.2: a twentieth of the first spread is less than a single move. Then nothing is being
# tried but the last step of explore.
COLLAPSED = 0.05
# What is left of the spread must be seen at several times: a single round may happen to agree.
TIMES = 3
# A narrower first sample, such as one given by `initial`, has nothing to collapse from.
FIRST_SPREAD = 0.05

# At a bound moves go inward, so that a fifth of the members is always on its way back, a move or
# two away: half of them near one bound, time after time, is pressure. Uniform draws would have 5 %
# of them there.
AT_BOUND = 0.05
# Values that are multiplied come ever closer to 0 and are never blocked by it, but for the last
# hundredth of the range, which is the least step.
AT_ORIGIN = LEAST_FRACTION
MANY = 0.5
BOUND_TIMES = 5
# Of four whole numbers each end has a quarter of the members by chance alone.
LEAST_VALUES = 5


def spread_collapsed(records: Records) -> Iterator[Finding]:
    """Hparams in which members have become alike, though explore may change them."""
    seen = diversity(records)
    if not enough(records) or len(seen.steps) <= TIMES:
        return
    first, last = seen.spread[0], seen.spread[-TIMES:].max(axis=0)
    free = [n for n, p in records.space.items() if not p.single and n not in records.space.kept]
    gone = (first >= FIRST_SPREAD) & (last <= COLLAPSED * first)
    alike = {n: i for i, n in enumerate(seen.names) if gone[i] and n in free}
    if not alike:
        return
    numbers = [f"{name} from {first[i]:.2g} to {last[i]:.2g}" for name, i in alike.items()]
    yield Finding(
        kind="spread collapsed",
        severity="warning" if len(alike) == len(free) else "note",
        evidence=f"members have become alike: spread, of the range, fell for {', '.join(numbers)}",
        advice=_explore_more(records),
        hparams=tuple(alike),
    )


def _explore_more(records: Records) -> str:
    explore = algorithm_of(records).get("explore")
    if explore is None:
        return "explore=hd.Perturb(), so that hparams change when they are taken over"
    now = float(explore.get("resample", 0.0)) if type_of(explore) == "Perturb" else 0.0
    more = min(1.0, max(0.25, 2 * now))
    return f"explore=hd.Perturb(resample={more:g}), to draw some hparams afresh"


def stuck_at_a_bound(records: Records) -> Iterator[Finding]:
    """Numbers that press against a bound. The ends of a list of choices are none: at an end every
    member that explores leaves it, and so most members are next to it.
    """
    steps = records.grid()
    if not enough(records) or len(steps) < BOUND_TIMES:
        return
    held = records.standing(steps[-BOUND_TIMES:])
    if (held < 0).any():
        return
    for column, (name, parameter) in enumerate(records.space.items()):
        if name in records.space.kept or _values(parameter) < LEAST_VALUES:
            continue
        for side in (0, 1):
            distance = abs(records.codes[held, column] - records.edges[column, side])
            near = distance <= _tolerance(records, name, side)
            if (near.mean(axis=1) >= MANY).all():
                yield _stuck(records, name, side, near)


def _tolerance(records: Records, name: str, side: int) -> float:
    parameter = records.space[name]
    multiplied = isinstance(parameter, Numeric) and isinstance(parameter.move, Scale)
    return AT_ORIGIN if multiplied and _bound(records, name, side) == 0 else AT_BOUND


def _bound(records: Records, name: str, side: int) -> Any:
    """The value at a bound that is in force."""
    return records.space[name].decode(float(records.edges[records.space.names.index(name), side]))


def _stuck(records: Records, name: str, side: int, near: Bools) -> Finding:
    bound = _bound(records, name, side)
    which, beyond = ("lower", "below") if side == 0 else ("upper", "above")
    least, near_by = int(near.sum(axis=1).min()), f"{_tolerance(records, name, side):.0%}"
    return Finding(
        kind="stuck at a bound",
        severity="note",
        evidence=(
            f"at each of the last {len(near)} times at least {least} of {records.lanes} members "
            f"had {name} within {near_by} of its {which} bound, {_shown(bound)}"
        ),
        advice=f"bounds: allow {name} {beyond} {_shown(bound)}, if such values make sense",
        members=ids(np.flatnonzero(near[-1])),
        hparams=(name,),
    )


def _values(parameter: Parameter) -> float:
    """How many values a number can have; 0 for what is none."""
    if not isinstance(parameter, Numeric) or parameter.single:
        return 0
    return parameter.width + 1 if parameter.kind == "integer" else np.inf


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
