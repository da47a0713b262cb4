"""Every optimizer of torch.optim: new hparams are in force after a load, and its state is kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from heredity.errors import TrainingError, UsageError
from heredity.evolution.trial import Trial
from heredity.torch import Trainable
from heredity.torch.optimizers import OWN_STEP_SIZES
from heredity.trainables.session import Session

OPTIMIZERS = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name != "Optimizer"
)
TUNABLE = [name for name in OPTIMIZERS if name not in OWN_STEP_SIZES]


class Quadratic(Trainable):
    """Minimises |w|² from a random start. `optimizer` makes the optimizer from hparams."""

    optimizer: Callable[..., torch.optim.Optimizer]

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.weight = torch.nn.ParameterList([torch.nn.Parameter(torch.randn(3, 3))])
        self.opt = type(self).optimizer(self.weight.parameters(), hparams)

    def closure(self) -> torch.Tensor:
        self.opt.zero_grad()
        loss = self.weight[0].square().sum()
        loss.backward()
        if isinstance(self.opt, torch.optim.SparseAdam):
            self.weight[0].grad = self.weight[0].grad.to_sparse()
        return loss

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.opt.step(self.closure)

    def evaluate(self) -> Any:
        return -self.weight[0].square().sum()


def quadratic(make: Callable[..., torch.optim.Optimizer]) -> type[Quadratic]:
    return type("Made", (Quadratic,), {"optimizer": staticmethod(make)})


def named(name: str) -> type[Quadratic]:
    kind = getattr(torch.optim, name)
    return quadratic(lambda weights, hparams: kind(weights, lr=hparams["lr"]))


def run(
    member: Trainable, folder: Path, hparams: Mapping[str, Any], restore: Path | None = None,
    steps: int = 5, **more: Any,
) -> Session:  # fmt: skip
    folder.mkdir(exist_ok=True)
    trial = Trial(id=0, seed=1, member=0, turn=0, start=0, stop=steps, hparams=hparams, **more)
    session = Session(
        trial,
        metric="score",
        save=folder,
        restore=restore,
        interpolate=lambda a, b, fraction: {
            name: a[name] + fraction * (b[name] - a[name]) for name in a
        },
    )  # fmt: skip
    member.run(session)
    return session


def group(member: Any) -> dict[str, Any]:
    return dict(member.opt.param_groups[0])


def test_the_table_is_that_of_this_torch() -> None:
    assert {"SGD", "Adam", "AdamW", "RMSprop", "LBFGS", "Adafactor"} <= set(OPTIMIZERS)
    assert set(OPTIMIZERS) >= OWN_STEP_SIZES


@pytest.mark.parametrize("name", TUNABLE)
def test_an_heir_steps_as_the_donor_would_with_the_new_rate(tmp_path: Path, name: str) -> None:
    donor = named(name)()
    run(donor, tmp_path / "donor", {"lr": 0.01})
    heir = named(name)()
    session = run(heir, tmp_path / "heir", {"lr": 0.03}, restore=tmp_path / "donor")
    donor.opt.param_groups[0]["lr"] = 0.03
    donor.train(5)
    assert torch.equal(heir.weight[0], donor.weight[0])
    assert session.unverified == ()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_member_that_is_loaded_goes_on_as_one_that_was_kept(tmp_path: Path, name: str) -> None:
    kind = getattr(torch.optim, name)
    make = quadratic(lambda weights, hparams: kind(weights, lr=0.01))
    run(make(), tmp_path / "first", {})
    loaded, kept = make(), make()
    run(loaded, tmp_path / "loaded", {}, restore=tmp_path / "first")
    run(kept, tmp_path / "kept", {}, steps=10)
    assert torch.equal(loaded.weight[0], kept.weight[0])
    assert loaded.same_state(tmp_path / "loaded", tmp_path / "kept")


@pytest.mark.parametrize("name", sorted(OWN_STEP_SIZES))
def test_one_that_keeps_its_old_rate_in_its_state_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"self.opt: {name} keeps step sizes of its own"):
        run(named(name)(), tmp_path, {"lr": 0.01})


# Settings by name ----------------------------------------------------------------------

SETTINGS: list[tuple[str, str, float, float]] = [
    ("SGD", "lr", 0.1, 0.3),
    ("SGD", "momentum", 0.9, 0.5),
    ("SGD", "weight_decay", 0.1, 0.01),
    ("SGD", "dampening", 0.1, 0.2),
    ("Adam", "beta1", 0.8, 0.95),
    ("Adam", "beta2", 0.99, 0.9),
    ("AdamW", "eps", 1e-6, 1e-4),
    ("RMSprop", "alpha", 0.9, 0.95),
    ("NAdam", "momentum_decay", 1e-3, 1e-2),
]

every_setting = pytest.mark.parametrize(("kind", "name", "old", "new"), SETTINGS)


def in_group(member: Any, name: str) -> Any:
    if name in ("beta1", "beta2"):
        return group(member)["betas"][name == "beta2"]
    return group(member)[name]


def unread(kind: str) -> type[Quadratic]:
    return quadratic(lambda weights, hparams: getattr(torch.optim, kind)(weights))


@every_setting
def test_an_hparam_that_setup_does_not_read_is_set_by_its_name(
    tmp_path: Path, kind: str, name: str, old: float, new: float
) -> None:
    member = unread(kind)()
    session = run(member, tmp_path / "donor", {name: old})
    assert in_group(member, name) == pytest.approx(old)
    assert session.unconsumed == ()
    assert session.unverified == ()
    heir = unread(kind)()
    session = run(heir, tmp_path / "heir", {name: new}, restore=tmp_path / "donor")
    assert in_group(heir, name) == pytest.approx(new)
    assert session.unverified == ()


@every_setting
def test_a_setting_is_ramped_on_the_live_optimizer(
    tmp_path: Path, kind: str, name: str, old: float, new: float
) -> None:
    member = unread(kind)()
    seen = []
    train = member.train

    def watched(steps: int) -> None:
        seen.append(in_group(member, name))
        train(steps)

    member.train = watched  # type: ignore[method-assign]
    run(member, tmp_path, {name: new}, steps=20, ramp_from={name: old}, ramp_steps=10)
    expected = [old + (point + 1) / 10 * (new - old) for point in range(10)]
    assert seen == pytest.approx([*expected, new])


def test_an_hparam_that_is_no_setting_is_left_to_the_user(tmp_path: Path) -> None:
    session = run(unread("SGD")(), tmp_path, {"momentum": 0.9, "width": 3})
    assert session.unconsumed == ("width",)


def test_groups_made_different_on_purpose_stay_so(tmp_path: Path) -> None:
    def make(weights: Any, hparams: Mapping[str, Any]) -> torch.optim.Optimizer:
        bias = torch.nn.Parameter(torch.zeros(1))
        groups = [{"params": list(weights)}, {"params": [bias], "weight_decay": 0.5, "lr": 0.01}]
        return torch.optim.SGD(groups, lr=0.1)

    member = quadratic(make)()
    run(member, tmp_path, {"lr": 0.2, "weight_decay": 0.3})
    decays = [each["weight_decay"] for each in member.opt.param_groups]
    assert decays == [0.3, 0.5]
    assert [each["lr"] for each in member.opt.param_groups] == pytest.approx([0.2, 0.02])


def test_a_rate_made_of_several_hparams_follows_all_of_them(tmp_path: Path) -> None:
    """What setup computes is taken afresh, not the old rate times new over old."""

    def make(weights: Any, hparams: Mapping[str, Any]) -> torch.optim.Optimizer:
        return torch.optim.SGD(weights, lr=hparams["lr"] * hparams["batch_size"] / 100)

    run(quadratic(make)(), tmp_path / "donor", {"lr": 0.1, "batch_size": 50})
    heir = quadratic(make)()
    session = run(
        heir, tmp_path / "heir", {"lr": 0.2, "batch_size": 25}, restore=tmp_path / "donor"
    )
    assert group(heir)["lr"] == 0.05
    assert session.unverified == ("lr", "batch_size")


def test_a_rate_given_as_a_tensor_stays_that_tensor(tmp_path: Path) -> None:
    def make(weights: Any, hparams: Mapping[str, Any]) -> torch.optim.Optimizer:
        return torch.optim.Adam(weights, lr=torch.tensor(hparams["lr"]))

    run(quadratic(make)(), tmp_path / "donor", {"lr": 0.01})
    heir = quadratic(make)()
    session = run(heir, tmp_path / "heir", {"lr": 0.03}, restore=tmp_path / "donor")
    assert float(group(heir)["lr"]) == pytest.approx(0.03)
    assert session.unverified == ()


# Rates that user code moves ------------------------------------------------------------


class ByHand(Quadratic):
    """Sets its rate at every step, as many training scripts do."""

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        super().setup(hparams, seed)
        self.done = 0

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.done += 1
            self.opt.param_groups[0]["lr"] = self.hparams["lr"] / self.done
            self.opt.step(self.closure)

    optimizer = staticmethod(lambda weights, hparams: torch.optim.SGD(weights, lr=hparams["lr"]))


def test_a_rate_set_by_hand_while_training_is_the_users_own(tmp_path: Path) -> None:
    run(ByHand(), tmp_path / "donor", {"lr": 0.1})
    heir = ByHand()
    run(heir, tmp_path / "heir", {"lr": 0.2}, restore=tmp_path / "donor")
    assert group(heir)["lr"] == pytest.approx(0.02)


def test_an_old_rate_put_back_while_training_is_caught(tmp_path: Path) -> None:
    class Stale(named("SGD")):  # type: ignore[misc]
        def train(self, steps: int) -> None:
            self.opt.param_groups[0]["lr"] = 0.1
            super().train(steps)

    run(Stale(), tmp_path / "donor", {"lr": 0.1})
    with pytest.raises(TrainingError, match=r"`lr` is 0.1\d* in force \(read after train"):
        run(Stale(), tmp_path / "heir", {"lr": 0.2}, restore=tmp_path / "donor")


def test_an_old_setting_put_back_by_a_plain_load_is_caught(tmp_path: Path) -> None:
    class Plain(quadratic(lambda weights, hparams: torch.optim.SGD(weights, **hparams))):  # type: ignore[misc]
        def save(self, directory: Path) -> None:
            torch.save(self.opt.state_dict(), directory / "opt.pt")

        def load(self, directory: Path) -> None:
            self.opt.load_state_dict(torch.load(directory / "opt.pt"))

    run(Plain(), tmp_path / "donor", {"lr": 0.1, "momentum": 0.9})
    for hparams in ({"lr": 0.2, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.5}):
        with pytest.raises(TrainingError, match=r"in force \(read after configure"):
            run(Plain(), tmp_path / "heir", hparams, restore=tmp_path / "donor")
    run(Plain(), tmp_path / "heir", {"lr": 0.1, "momentum": 0.9}, restore=tmp_path / "donor")
