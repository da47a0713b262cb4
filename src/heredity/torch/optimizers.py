"""Optimizers: hparams of the same name set in their groups, saved as progress, and read back.

A group's *base* is the rate that its schedule starts from (`initial_lr`, or `lr` without a
scheduler). A learning rate is moved by scaling, so groups keep their relation to each other and to
their schedules, and a frozen group (rate 0) stays frozen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from heredity.errors import TrainingError, UsageError
from heredity.torch import schedulers as schedules
from heredity.torch.progress import progress, snapshot
from heredity.trainables.session import same_value

GROUP_RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Absolute rates in a group: the optimizer's, and what schedulers keep there."""

BETAS = {"beta1": 0, "beta2": 1}
"""Hparams that are parts of the pair `betas`."""


OWN_STEP_SIZES = frozenset({"ASGD", "Rprop"})
"""Optimizers whose state holds step sizes made of the old rate, which a new one cannot reach."""


class Tuned:
    """One optimizer, the schedulers that drive it, and what is expected to be in force.

    Made right after `setup`.

    Attributes:
        configured: each group's settings as `setup` gave them, moved since only by hparams.
        rates: the rate expected of each group until a scheduler moves it.
        schedule_rates: the absolute rates that the schedulers hold of their own.
        old_rates: the groups' rates in the checkpoint, before they were scaled.
        named: hparams that were set here because `setup` did not read them.
        by_hand: the user's own code sets the rates while training, so nothing can be expected.
    """

    def __init__(self, optimizer: Optimizer, driven_by: Sequence[LRScheduler]) -> None:
        self.optimizer = optimizer
        self.driven_by = tuple(driven_by)
        self.named: set[str] = set()
        self.old_rates: list[float] = []
        self.by_hand = False
        self._take_configuration()

    def check_tunable(self, name: str) -> None:
        """Raise `UsageError` if the rate is an hparam but has no effect after a load."""
        kind = type(self.optimizer).__name__
        if kind in OWN_STEP_SIZES:
            raise UsageError(
                f"self.{name}: {kind} keeps step sizes of its own in its state, so a new `lr` "
                "would have no effect after a load: use another optimizer, or take `lr` out of the "
                "space"
            )

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizer's live groups."""
        return self.optimizer.param_groups

    def _take_configuration(self) -> None:
        self.configured = [snapshot(_settings(group)) for group in self.groups]
        self.rates = self._live_rates()
        self.schedule_rates = self._live_schedule_rates()

    def _live_rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.groups]

    def _live_schedule_rates(self) -> list[float]:
        return [rate for scheduler in self.driven_by for rate in schedules.fixed_rates(scheduler)]

    # Setting ---------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether hparam `name` is a setting of this optimizer."""
        return all(_key(name) in group for group in self.groups)

    def adopt(self, name: str, value: Any) -> None:
        """Set an hparam that `setup` did not read, where a group has the optimizer's default."""
        self.named.add(name)
        if name == "lr":
            self._scale_from(self._nominal_rate(), float(value))
        else:
            self._replace(name, _pick(name, self.optimizer.defaults[_key(name)]), value)

    def move(self, name: str, old: Any, new: Any) -> None:
        """Take an hparam from `old` to `new` on the live optimizer."""
        if name == "lr":
            self._scale_from(float(old), float(new))
        else:
            self._replace(name, old, new)

    def _scale_from(self, old: float, new: float) -> None:
        """Multiply all rates by new/old: the groups', the schedulers' and those expected."""
        if old == 0:
            raise TrainingError(
                f"the optimizer's lr is 0 and cannot be scaled to {new!r}: "
                'give it lr=hparams["lr"] in setup()'
            )
        factor = new / old
        for group, configured in zip(self.groups, self.configured, strict=True):
            for key in _present(GROUP_RATES, group):
                _assign(group, key, float(group[key]) * factor)
                _assign(configured, key, float(configured[key]) * factor)
        for scheduler in self.driven_by:
            schedules.scale(scheduler, factor)
        self.rates = self._live_rates()
        self.schedule_rates = self._live_schedule_rates()

    def _nominal_rate(self) -> float:
        """The one rate that describes the optimizer: its schedule's peak, or its default."""
        peaks = [float(group["max_lr"]) for group in self.groups if "max_lr" in group]
        for scheduler in self.driven_by:
            peaks += schedules.peaks(scheduler)
        return max(peaks) if peaks else float(self.optimizer.defaults["lr"])

    def _replace(self, name: str, old: Any, new: Any) -> None:
        """Set `new` in the groups that have `old`; groups made different on purpose stay so."""
        key = _key(name)
        for group, configured in zip(self.groups, self.configured, strict=True):
            if same_value(_pick(name, group[key]), old):
                _assign(group, key, _put(name, group[key], new))
                configured[key] = snapshot(group[key])

    # Saving ----------------------------------------------------------------------------

    def saved(self) -> dict[str, Any]:
        """The optimizer's state, and of its settings what training changed."""
        changed = [
            progress(_settings(group), configured)
            for group, configured in zip(self.groups, self.configured, strict=True)
        ]
        return {
            "state": self.optimizer.state_dict()["state"],
            "changed": changed,
            "rates": self._live_rates(),
            "bases": [_base(configured) for configured in self.configured],
            "by_hand": self.by_hand,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Load into an optimizer that was just set up: fresh settings, moved on by progress."""
        groups = self.optimizer.state_dict()["param_groups"]
        if len(groups) != len(saved["changed"]):
            raise TrainingError(
                f"the checkpoint's optimizer has {len(saved['changed'])} parameter groups, this "
                f"one {len(groups)}: setup() must build the same for all hparams"
            )
        for group, changed in zip(groups, saved["changed"], strict=True):
            group.update({key: value for key, value in changed.items() if key != "lr"})
        self.optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
        self._load_rates(saved["rates"], saved["bases"])
        self.by_hand = saved["by_hand"]

    def _load_rates(self, rates: Sequence[float], bases: Sequence[float]) -> None:
        """Give each group the part of its new base that it had of its old one."""
        each = zip(self.groups, self.configured, rates, bases, strict=True)
        for group, configured, rate, base in each:
            new = _base(configured)
            _assign(group, "lr", rate if new == base else new * (rate / base if base else 1.0))
        self.rates, self.old_rates = self._live_rates(), list(rates)

    # Reading back ----------------------------------------------------------------------

    def trained(self) -> None:
        """Take note after training of rates moved by a scheduler, or by the user's own hand."""
        live = self._live_rates()
        if self.driven_by:
            self.rates = [self._said(number, rate) for number, rate in enumerate(live)]
        elif not _close(live, self.rates) and (self.by_hand or not _close(live, self.old_rates)):
            self.by_hand, self.rates = True, live

    def in_force(self, name: str, hparam: Any) -> Any:
        """The value in force of an hparam, or None if that cannot be told."""
        if name == "lr":
            return self._rate_in_force(float(hparam))
        key, seen = _key(name), None
        for group, configured in zip(self.groups, self.configured, strict=True):
            value = _pick(name, group[key])
            if not same_value(value, _pick(name, configured[key])):
                return value
            if same_value(value, hparam):
                seen = value
        return seen

    def _rate_in_force(self, hparam: float) -> float | None:
        """The hparam; or, if a rate is not what is expected of it, the hparam it stands for."""
        for seen, expected in self._expectations():
            if not same_value(seen, expected):
                return hparam * seen / expected if expected else seen
        return None if self.by_hand or not self._shows(hparam) else hparam

    def _expectations(self) -> Iterator[tuple[float, float]]:
        """Every rate with an expectation: (seen, expected)."""
        for group, configured in zip(self.groups, self.configured, strict=True):
            for key in _present(GROUP_RATES[1:], configured):
                yield float(group[key]), float(configured[key])
        yield from zip(self._live_schedule_rates(), self.schedule_rates, strict=True)
        for number, (group, rate) in enumerate(zip(self.groups, self._live_rates(), strict=True)):
            has_base = "initial_lr" in group  # it was compared above; progress is the scheduler's
            yield rate, self._said(number, rate) if has_base else self.rates[number]

    def _said(self, number: int, rate: float) -> float:
        """What the group's rate is by its scheduler: of several, the one that is nearest."""
        said = [float(scheduler.get_last_lr()[number]) for scheduler in self.driven_by]
        return min(said, key=lambda expected: abs(expected - rate), default=self.rates[number])

    def _shows(self, hparam: float) -> bool:
        """Whether the hparam itself can be seen among the rates."""
        seen = [
            float(group[key]) for group in self.configured for key in _present(GROUP_RATES, group)
        ]
        return "lr" in self.named or any(
            same_value(rate, hparam) for rate in (*seen, *self.schedule_rates)
        )


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}


def _base(group: Mapping[str, Any]) -> float:
    return float(group.get("initial_lr", group["lr"]))


def _present(keys: Sequence[str], group: Mapping[str, Any]) -> list[str]:
    return [key for key in keys if key in group]


def _close(left: Sequence[float], right: Sequence[float]) -> bool:
    return len(left) == len(right) and all(map(same_value, left, right))


def _assign(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a group's value; a tensor keeps its identity, which compiled steps rely on."""
    if isinstance(group[key], torch.Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def _key(name: str) -> str:
    return "betas" if name in BETAS else name


def _pick(name: str, setting: Any) -> Any:
    return setting[BETAS[name]] if name in BETAS else setting


def _put(name: str, setting: Any, value: Any) -> Any:
    """The setting with the hparam's value in it."""
    if name not in BETAS:
        return value
    values = list(setting)
    values[BETAS[name]] = value
    return tuple(values)
