"""A schedule as Python files that run without this library: for torch, and for optax.

Both hold one table and a lookup in it, and below these what the framework takes. This file knows
schedules; of the frameworks it knows only the text that it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from heredity.analysis.course import NOBODY
from heredity.analysis.schedule import Schedule

Changes: TypeAlias = list[tuple[int, Any]]
"""From which step on an hparam has which value: only steps where it changes."""

_LARGEST_IN_JAX = 2**31 - 1


def torch_code(schedule: Schedule) -> str:
    """A file with `lr_scheduler(optimizer)`, if there is an hparam `lr`, and `set_hparams`."""
    has_rate = "lr" in schedule.segments[0].hparams
    return _FILE.format(
        **_facts(schedule),
        usage=_RATE_USAGE if has_rate else _TORCH_USAGE,
        imports="\nfrom torch.optim.lr_scheduler import LambdaLR\n" if has_rate else "",
        code=(_RATE if has_rate else "") + _SET,
    )


def optax_code(schedule: Schedule) -> str:
    """A file with `schedules`, by name of the hparams that are numbers."""
    numeric = [name for name, changes in _changes(schedule).items() if _is_numeric(changes)]
    return _FILE.format(
        **_facts(schedule),
        usage=_OPTAX_USAGE,
        imports="\nimport optax\n",
        code=_JOINED.format(names="[" + ", ".join(map(_text, numeric)) + "]"),
    )


def _facts(schedule: Schedule) -> dict[str, str]:
    """What both files say of the schedule."""
    segments = schedule.segments
    trial = segments[-1].trial
    return {
        "whose": "a mean of schedules" if trial == NOBODY else f"the schedule of trial {trial}",
        "ramps": _RAMPS if any(segment.ramp_steps for segment in segments) else "",
        "stop": str(segments[-1].stop),
        "schedule": _literal(_changes(schedule)),
    }


def _changes(schedule: Schedule) -> dict[str, Changes]:
    changes: dict[str, Changes] = {name: [] for name in schedule.segments[0].hparams}
    for segment in schedule:
        for name, known in changes.items():
            value = segment.hparams[name]
            if not known or known[-1][1] != value:
                known.append((segment.start, value))
    return changes


def _is_numeric(changes: Changes) -> bool:
    """Whether JAX can hold all values: its whole numbers have 32 bits."""
    return all(
        type(v) is float or (type(v) is int and abs(v) <= _LARGEST_IN_JAX) for _, v in changes
    )


def _literal(changes: Mapping[str, Changes]) -> str:
    lines = ["{"]
    for name, known in changes.items():
        pairs = [f"        ({step}, {_text(value)})," for step, value in known]
        lines += [f"    {_text(name)}: [", *pairs, "    ],"]
    return "\n".join([*lines, "}"])


def _text(value: Any) -> str:
    """The value in Python, with double quotes where they serve, as formatters have it."""
    text = repr(value)
    return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text


# The parts of the files; those that are formatted double the braces that stay --------------------

_FILE = '''"""Hparams by step, the first being 0: {whose}, exported by heredity.
{ramps}
{usage}"""

from bisect import bisect_right
{imports}
STEPS = {stop}

# From which step on each hparam has which value.
SCHEDULE = {schedule}


def hparams(step):
    """All hparams of a step; the last ones beyond the end."""
    return {{name: _at(changes, step) for name, changes in SCHEDULE.items()}}


def _at(changes, step):
    return changes[bisect_right(changes, step, lo=1, key=lambda change: change[0]) - 1][1]

{code}'''

_RAMPS = """
The study reached new values gradually; here each holds from its first step on.
"""

_LOOP = """    for step in range(STEPS):
        now = set_hparams(optimizer, step)
        ...  # train a step; hparams that the optimizer does not have are in `now`
"""

_TORCH_USAGE = f"""To train by it:

{_LOOP}"""

_RATE_USAGE = f"""To train by it, with an optimizer of any rate but 0:

    scheduler = lr_scheduler(optimizer)
{_LOOP}        scheduler.step()
"""

_RATE = '''
def lr_scheduler(optimizer):
    """Gives the first group the schedule's rates; the others keep their ratio to it."""
    rate = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] / rate
        group.pop("initial_lr", None)
    return LambdaLR(optimizer, lambda step: hparams(step)["lr"])

'''

_SET = '''
def set_hparams(optimizer, step):
    """Sets the hparams that the optimizer has, but for `lr`; returns all of the step."""
    now = hparams(step)
    known = {name: now[name] for name in now.keys() & optimizer.defaults.keys() - {"lr"}}
    for group in optimizer.param_groups:
        group.update(known)
        if "betas" in group:
            beta1, beta2 = group["betas"]
            group["betas"] = (now.get("beta1", beta1), now.get("beta2", beta2))
    return now
'''

_OPTAX_USAGE = """To train by it:

    optimizer = optax.adam(schedules["lr"])

Each schedule goes by the optimizer's count of updates: one update a step. For more hparams than
the rate use `optax.inject_hyperparams`; categories are in `hparams(step)`.
"""

_JOINED = """
def _joined(changes):
    starts, values = zip(*changes, strict=True)
    return optax.join_schedules([optax.constant_schedule(v) for v in values], starts[1:])


# By hparam, of those that are numbers.
schedules = {{name: _joined(SCHEDULE[name]) for name in {names}}}
"""
