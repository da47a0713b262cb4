"""Learning-rate schedulers: which are known to keep a new rate, and how their rates are scaled.

Setting `group["lr"]` is not enough: measured on torch 2.13, after a scheduler's state is loaded,
LambdaLR, OneCycleLR, CyclicLR and CosineAnnealingWarmRestarts silently return to the old rate at
their next step. Every type listed here is tested: a new rate is in force after a load, the schedule
keeps its shape from there on, and nothing returns. Any other type is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from heredity.errors import UsageError
from heredity.torch.progress import NESTED, advanced, progress, snapshot

TESTED = frozenset(
    {
        "ChainedScheduler",
        "ConstantLR",
        "CosineAnnealingLR",
        "CosineAnnealingWarmRestarts",
        "CyclicLR",
        "ExponentialLR",
        "LambdaLR",
        "LinearLR",
        "MultiStepLR",
        "MultiplicativeLR",
        "OneCycleLR",
        "PolynomialLR",
        "ReduceLROnPlateau",
        "SequentialLR",
        "StepLR",
    }
)
"""Types of `torch.optim.lr_scheduler` that keep a new rate after a load, each with a test."""

RATES = ("base_lrs", "max_lrs", "_last_lr")
"""Attributes of a scheduler with one absolute rate per group."""

MOMENTA = ("momentum", "betas", "beta1")
"""Hparams that `cycle_momentum` overwrites at every step."""


def check_supported(scheduler: LRScheduler, name: str, hparams: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a scheduler that is not known to keep new hparams in force."""
    for part in parts(scheduler):
        kind = type(part).__name__
        if kind not in TESTED or not type(part).__module__.startswith("torch.optim"):
            raise UsageError(
                f"self.{name}: the scheduler {kind} is not known to keep a new learning rate after "
                "a load. Express it as torch.optim.lr_scheduler.LambdaLR, or use another one of "
                "that module"
            )
        clash = [momentum for momentum in MOMENTA if momentum in hparams]
        if clash and getattr(part, "cycle_momentum", False):
            raise UsageError(
                f"self.{name}: {kind} sets the momentum at every step, so the hparam "
                f"`{clash[0]}` would have no effect: give it cycle_momentum=False"
            )


def parts(scheduler: LRScheduler) -> Iterator[LRScheduler]:
    """The scheduler, and those it is made of."""
    yield scheduler
    for part in getattr(scheduler, NESTED, ()):
        yield from parts(part)


def fixed_rates(scheduler: LRScheduler) -> list[float]:
    """The absolute rates that training should not change."""
    return [
        float(rate)
        for part in parts(scheduler)
        for attribute in RATES[:2]
        for rate in getattr(part, attribute, ())
    ]


def peaks(scheduler: LRScheduler) -> list[float]:
    """The peak rates that the scheduler itself dictates, whatever the optimizer was given."""
    return [float(rate) for part in parts(scheduler) for rate in getattr(part, "max_lrs", ())]


def scale(scheduler: LRScheduler, factor: float) -> None:
    """Multiply every absolute rate that the scheduler holds of its own."""
    for part in parts(scheduler):
        for attribute in RATES:
            if rates := getattr(part, attribute, None):
                setattr(part, attribute, [rate * factor for rate in rates])


def configuration(scheduler: LRScheduler) -> dict[str, Any]:
    """The scheduler's state as it was set up, to tell progress by."""
    state: dict[str, Any] = snapshot(scheduler.state_dict())
    return state


def saved(scheduler: LRScheduler, configured: Mapping[str, Any]) -> dict[str, Any]:
    """What training changed, rates apart: those follow from the optimizer's groups."""
    return _without_rates(progress(scheduler.state_dict(), configured))


def _without_rates(changed: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in changed.items() if key not in RATES}
    if NESTED in kept:
        kept[NESTED] = [_without_rates(part) for part in kept[NESTED]]
    return kept


def load(scheduler: LRScheduler, changed: Mapping[str, Any]) -> None:
    """Move a scheduler that was just set up on by what `saved` gave; the optimizer comes first."""
    scheduler.load_state_dict(advanced(scheduler.state_dict(), changed))
    for part in parts(scheduler):
        part._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
