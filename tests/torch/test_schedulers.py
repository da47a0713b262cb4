"""Every scheduler of torch.optim.lr_scheduler: a new rate is in force after a load, and stays.

The standard is a member that was trained with the new rate all along: from the load on, an heir's
rates must be exactly those. A scheduler that a later torch adds fails the first test by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as module
from torch.optim.lr_scheduler import LRScheduler

from heredity.errors import TrainingError, UsageError
from heredity.evolution.trial import Trial
from heredity.torch import Trainable
from heredity.torch.schedulers import TESTED
from heredity.trainables.session import Session

OLD, NEW = 0.1, 0.03
ABSTRACT = {"LRScheduler", "_LRScheduler"}
SHARES = (1.0, 0.1, 0.0)
"""The groups' shares of the rate: the last is frozen."""

Make = Callable[[torch.optim.Optimizer, float], Any]


def each(rate: float) -> list[float]:
    return [rate * share for share in SHARES]


SCHEDULERS: dict[str, Make] = {
    "ChainedScheduler": lambda opt, lr: module.ChainedScheduler(
        [module.LinearLR(opt, 0.2, total_iters=4), module.ExponentialLR(opt, 0.9)]
    ),
    "ConstantLR": lambda opt, lr: module.ConstantLR(opt, 0.5, total_iters=6),
    "CosineAnnealingLR": lambda opt, lr: module.CosineAnnealingLR(opt, 20),
    "CosineAnnealingWarmRestarts": lambda opt, lr: module.CosineAnnealingWarmRestarts(opt, 4, 2),
    "CyclicLR": lambda opt, lr: module.CyclicLR(
        opt, each(lr / 5), each(lr), step_size_up=3, mode="triangular2", cycle_momentum=False
    ),
    "ExponentialLR": lambda opt, lr: module.ExponentialLR(opt, 0.9),
    "LambdaLR": lambda opt, lr: module.LambdaLR(opt, lambda step: 1 / (1 + step)),
    "LinearLR": lambda opt, lr: module.LinearLR(opt, 0.1, total_iters=9),
    "MultiStepLR": lambda opt, lr: module.MultiStepLR(opt, [3, 8, 15], 0.5),
    "MultiplicativeLR": lambda opt, lr: module.MultiplicativeLR(opt, lambda step: 0.95),
    "OneCycleLR": lambda opt, lr: module.OneCycleLR(
        opt, each(lr), total_steps=60, cycle_momentum=False
    ),
    "PolynomialLR": lambda opt, lr: module.PolynomialLR(opt, 30, 2.0),
    "ReduceLROnPlateau": lambda opt, lr: module.ReduceLROnPlateau(opt, patience=2, factor=0.5),
    "SequentialLR": lambda opt, lr: module.SequentialLR(
        opt,
        [module.LinearLR(opt, 0.2, total_iters=5), module.CosineAnnealingLR(opt, 20)],
        milestones=[5],
    ),
    "StepLR": lambda opt, lr: module.StepLR(opt, 4, 0.5),
}

every_scheduler = pytest.mark.parametrize("name", sorted(SCHEDULERS))
every_age = pytest.mark.parametrize("age", [1, 5, 8, 13])


class Probe(Trainable):
    """Three parameters in groups of their own; writes down the rates of every step."""

    make: Make
    reads = True

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        rate = hparams["lr"] if self.reads else OLD
        weights = [torch.nn.Parameter(torch.ones(2)) for _ in SHARES]
        self.net = torch.nn.ParameterList(weights)
        groups = [
            {"params": [weight], "lr": rate * share}
            for weight, share in zip(weights, SHARES, strict=True)
        ]
        self.opt = torch.optim.SGD(groups, lr=rate, momentum=0.9)
        self.scheduler = type(self).make(self.opt, rate)

    def train(self, steps: int) -> None:
        self.seen = getattr(self, "seen", [])
        for _ in range(steps):
            self.opt.zero_grad()
            sum(weight.square().sum() for weight in self.net).backward()
            self.seen.append([group["lr"] for group in self.opt.param_groups])
            self.opt.step()
            plateau = isinstance(self.scheduler, module.ReduceLROnPlateau)
            self.scheduler.step(*((1.0,) if plateau else ()))

    def evaluate(self) -> float:
        return 1.0


class Naive(Probe):
    """Saves and loads as most code does."""

    def save(self, directory: Path) -> None:
        parts = [part.state_dict() for part in (self.net, self.opt, self.scheduler)]
        torch.save(parts, directory / "naive.pt")

    def load(self, directory: Path) -> None:
        parts = torch.load(directory / "naive.pt", weights_only=True)
        for part, state in zip((self.net, self.opt, self.scheduler), parts, strict=True):
            part.load_state_dict(state)


def probe(name: str, kind: type[Probe] = Probe, **attributes: Any) -> Probe:
    return type(name, (kind,), {"make": staticmethod(SCHEDULERS[name]), **attributes})()


def run(
    member: Probe, folder: Path, rate: float, steps: int, restore: Path | None = None, **more: Any
) -> Session:
    folder.mkdir(exist_ok=True)
    trial = Trial(id=0, seed=1, member=0, turn=0, start=0, stop=steps, hparams={"lr": rate}, **more)
    session = Session(
        trial,
        metric="score",
        save=folder,
        restore=restore,
        interpolate=lambda a, b, fraction: {"lr": a["lr"] + fraction * (b["lr"] - a["lr"])},
    )
    member.run(session)
    return session


def rates_of(member: Probe) -> list[list[float]]:
    return [pytest.approx(rates, rel=1e-9, abs=1e-15) for rates in member.seen]


def test_every_scheduler_of_this_torch_is_tested_or_refused() -> None:
    concrete = {
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, LRScheduler)
    } - ABSTRACT
    assert concrete == TESTED
    assert concrete == set(SCHEDULERS)


@every_age
@every_scheduler
def test_an_heir_trains_as_if_it_had_had_its_rate_all_along(
    tmp_path: Path, name: str, age: int
) -> None:
    run(probe(name), tmp_path / "donor", OLD, age)
    heir, standard = probe(name), probe(name)
    session = run(heir, tmp_path / "heir", NEW, 20, restore=tmp_path / "donor")
    run(standard, tmp_path / "standard", NEW, age + 20)
    assert heir.seen == rates_of(standard)[age:]
    assert session.unverified == ()


@every_scheduler
def test_a_member_that_is_loaded_goes_on_as_one_that_was_kept(tmp_path: Path, name: str) -> None:
    run(probe(name), tmp_path / "first", OLD, 7)
    loaded, kept = probe(name), probe(name)
    run(loaded, tmp_path / "loaded", OLD, 20, restore=tmp_path / "first")
    run(kept, tmp_path / "kept", OLD, 27)
    assert loaded.seen == kept.seen[7:]
    assert loaded.same_state(tmp_path / "loaded", tmp_path / "kept")


@every_scheduler
def test_nothing_returns_over_many_generations(tmp_path: Path, name: str) -> None:
    restore, rate = None, OLD
    for generation in range(6):
        heir = probe(name)
        folder = tmp_path / str(generation)
        run(heir, folder, rate, 3, restore=restore)
        restore, rate = folder, rate * (0.8 if generation % 2 else 1.2)
    last = rate / 0.8
    standard = probe(name)
    run(standard, tmp_path / "standard", last, 18)
    assert heir.seen == rates_of(standard)[15:]


@every_scheduler
def test_restoring_optimizer_state_puts_the_old_learning_rate_back_and_is_caught(
    tmp_path: Path, name: str
) -> None:
    run(probe(name, Naive), tmp_path / "donor", OLD, 7)
    with pytest.raises(TrainingError, match=r"hparam `lr` is .* in force"):
        run(probe(name, Naive), tmp_path / "heir", NEW, 5, restore=tmp_path / "donor")


class SetAfterwards(Naive):
    """Sets the rate after loading: the usual remedy, which a scheduler undoes at its next step."""

    keys: tuple[str, ...] = ("lr",)

    def load(self, directory: Path) -> None:
        fresh = [dict(group) for group in self.opt.param_groups]
        super().load(directory)
        for group, wanted in zip(self.opt.param_groups, fresh, strict=True):
            group.update({key: wanted[key] for key in self.keys})


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"ReduceLROnPlateau"}))
def test_setting_the_rate_after_loading_the_scheduler_is_caught(tmp_path: Path, name: str) -> None:
    run(probe(name, SetAfterwards), tmp_path / "donor", OLD, 7)
    with pytest.raises(TrainingError, match=r"hparam `lr` is .* in force"):
        run(probe(name, SetAfterwards), tmp_path / "heir", NEW, 5, restore=tmp_path / "donor")


@pytest.mark.parametrize("name", ["LambdaLR", "CyclicLR", "CosineAnnealingWarmRestarts"])
def test_an_old_rate_left_in_the_scheduler_alone_is_caught(tmp_path: Path, name: str) -> None:
    member = probe(name, SetAfterwards, keys=("lr", "initial_lr"))
    run(member, tmp_path / "donor", OLD, 7)
    heir = probe(name, SetAfterwards, keys=("lr", "initial_lr"))
    with pytest.raises(TrainingError, match=r"hparam `lr` is 0\.(1|09999)\d* in force"):
        run(heir, tmp_path / "heir", NEW, 5, restore=tmp_path / "donor")


@every_scheduler
def test_a_live_rate_can_be_ramped(tmp_path: Path, name: str) -> None:
    """The rate is scaled in place, in all that a scheduler computes from."""
    ramped, standard = probe(name), probe(name)
    session = run(ramped, tmp_path / "ramped", NEW, 30, ramp_from={"lr": OLD}, ramp_steps=10)
    run(standard, tmp_path / "standard", NEW, 30)
    assert ramped.seen[9:] == rates_of(standard)[9:]
    first = OLD + 0.1 * (NEW - OLD)
    assert ramped.seen[0] == pytest.approx([x * first / NEW for x in standard.seen[0]])
    assert session.unverified == ()


@every_scheduler
def test_a_rate_that_setup_does_not_read_is_set_by_its_name(tmp_path: Path, name: str) -> None:
    named, standard = probe(name, reads=False), probe(name)
    session = run(named, tmp_path / "named", NEW, 20)
    run(standard, tmp_path / "standard", NEW, 20)
    assert named.seen == rates_of(standard)
    assert session.unconsumed == ()
    assert session.unverified == ()


@every_scheduler
def test_and_is_inherited_under_the_heirs_rate(tmp_path: Path, name: str) -> None:
    run(probe(name, reads=False), tmp_path / "donor", OLD, 6)
    heir, standard = probe(name, reads=False), probe(name)
    run(heir, tmp_path / "heir", NEW, 20, restore=tmp_path / "donor")
    run(standard, tmp_path / "standard", NEW, 26)
    assert heir.seen == rates_of(standard)[6:]


@every_scheduler
def test_frozen_groups_stay_frozen(tmp_path: Path, name: str) -> None:
    run(probe(name), tmp_path / "donor", OLD, 6)
    heir = probe(name)
    run(heir, tmp_path / "heir", NEW, 20, restore=tmp_path / "donor")
    assert {rates[2] for rates in heir.seen} == {0.0}
    assert heir.net[2].tolist() == [1.0, 1.0]


# Hparams of the schedule itself --------------------------------------------------------


def test_an_hparam_of_the_schedule_is_the_heirs_own(tmp_path: Path) -> None:
    """A loaded scheduler state would bring the donor's decay back."""

    class Decaying(Probe):
        def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
            super().setup({"lr": OLD}, seed)
            self.scheduler = module.ExponentialLR(self.opt, hparams["lr"])

        make = staticmethod(lambda opt, lr: module.ConstantLR(opt, 1.0))

    run(Decaying(), tmp_path / "donor", 0.5, 3)
    heir = Decaying()
    heir.in_force = dict  # type: ignore[method-assign]  # "lr" plays the decay here
    run(heir, tmp_path / "heir", 0.9, 3, restore=tmp_path / "donor")
    assert [rates[0] for rates in heir.seen] == pytest.approx(
        [OLD * 0.125, OLD * 0.125 * 0.9, OLD * 0.125 * 0.81]
    )


# Refusals ------------------------------------------------------------------------------


class Own(module.LambdaLR):
    """A subclass: it may compute its rates from anything."""


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda opt, lr: Own(opt, lambda step: 1.0), "Own"),
        (lambda opt, lr: torch.optim.swa_utils.SWALR(opt, lr), "SWALR"),
        (lambda opt, lr: module.ChainedScheduler([Own(opt, lambda step: 1.0)]), "Own"),
    ],
)
def test_an_unknown_scheduler_is_refused_with_the_remedy(
    tmp_path: Path, make: Make, kind: str
) -> None:
    member = type("Refused", (Probe,), {"make": staticmethod(make)})()
    with pytest.raises(UsageError, match=rf"self.scheduler: the scheduler {kind} .*LambdaLR"):
        run(member, tmp_path, OLD, 3)


@pytest.mark.parametrize("kind", ["OneCycleLR", "CyclicLR"])
def test_a_schedule_that_overwrites_a_momentum_hparam_is_refused(tmp_path: Path, kind: str) -> None:
    def make(opt: torch.optim.Optimizer, lr: float) -> Any:
        if kind == "OneCycleLR":
            return module.OneCycleLR(opt, lr, total_steps=10)
        return module.CyclicLR(opt, lr / 5, lr)

    member = type("Clash", (Probe,), {"make": staticmethod(make)})()
    trial = Trial(
        id=0, seed=1, member=0, turn=0, start=0, stop=3, hparams={"lr": OLD, "momentum": 0.5}
    )
    with pytest.raises(UsageError, match=r"`momentum` would have no effect.*cycle_momentum=False"):
        member.run(Session(trial, metric="score", save=tmp_path))
