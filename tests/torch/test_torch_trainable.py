"""The PyTorch Trainable: all that training changed is saved, and nothing else; never a pickle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from heredity.errors import TrainingError
from heredity.evolution.trial import Trial
from heredity.torch import Trainable
from heredity.torch.trainable import STATE_FILE
from heredity.trainables.check import check
from heredity.trainables.revive import revive
from heredity.trainables.session import Session


class Everything(Trainable):
    """A member of every kind of part."""

    def prepare(self) -> None:
        self.frozen = torch.nn.Linear(500, 500)
        self.data = torch.zeros(1000, 1000)
        self.limit = 3

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.net = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5),
            torch.nn.Linear(8, 1),
        )  # fmt: skip
        self.average = AveragedModel(self.net)
        self.heads = {"left": torch.nn.Linear(4, 1), "right": [torch.nn.Linear(4, 1)]}
        weights = [*self.net.parameters(), *self.heads["left"].parameters()]
        self.opt = torch.optim.AdamW(weights, lr=hparams["lr"])
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.opt, lambda step: 0.9**step)
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self.seen, self.best, self.phase, self.note = 0, float("inf"), "warm", None

    def train(self, steps: int) -> None:
        for _ in range(steps):
            x = torch.randn(16, 4)
            loss = (self.net(x) + self.heads["left"](x) - x.sum(1, keepdim=True)).square().mean()
            self.opt.zero_grad()
            loss.backward()
            self.opt.step()
            self.scheduler.step()
            self.average.update_parameters(self.net)
            self.seen += 16
            self.best = min(self.best, loss.item())
            self.phase = "hot"

    def evaluate(self) -> Any:
        x = torch.randn(64, 4)
        return {
            "score": -(self.net(x) - x.sum(1, keepdim=True)).square().mean(),
            "average": self.average(x).mean(),
            "best": self.best,
            "seen": self.seen,
        }


def run(member: Trainable, folder: Path, restore: Path | None = None, **more: Any) -> Session:
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "id": 0, "seed": 1, "member": 0, "turn": 0, "start": 0, "stop": 5, "hparams": {"lr": 0.01}
    }  # fmt: skip
    session = Session(Trial(**(given | more)), metric="score", save=folder, restore=restore)
    if restore is None:
        member.prepare()
    member.run(session)
    return session


def prepared(kind: type[Trainable] = Everything) -> Trainable:
    member = kind()
    member.prepare()
    return member


def test_everything_goes_on_after_a_load_as_if_it_had_not_been_interrupted() -> None:
    report = check(Everything, {"lr": 0.01}, "score", changed={"lr": 0.1})
    assert str(report).startswith("✓")
    assert report.ok


def test_every_part_and_every_changed_number_is_loaded(tmp_path: Path) -> None:
    donor, heir = Everything(), prepared()
    run(donor, tmp_path / "a")
    run(heir, tmp_path / "b", tmp_path / "a", kind="evaluate", start=5)
    for part in ("net", "average"):
        donor_state, heir_state = (getattr(each, part).state_dict() for each in (donor, heir))
        assert all(torch.equal(donor_state[name], heir_state[name]) for name in donor_state)
    assert torch.equal(donor.heads["left"].weight, heir.heads["left"].weight)
    assert torch.equal(donor.heads["right"][0].weight, heir.heads["right"][0].weight)
    assert (heir.seen, heir.best, heir.phase) == (donor.seen, donor.best, donor.phase)
    assert heir.scheduler.last_epoch == 5


def test_what_prepare_made_is_not_saved(tmp_path: Path) -> None:
    run(Everything(), tmp_path)
    assert (tmp_path / STATE_FILE).stat().st_size < 100_000


def test_an_attribute_of_prepare_that_training_changes_is(tmp_path: Path) -> None:
    class Counting(Everything):
        def train(self, steps: int) -> None:
            self.limit += 1

    run(Counting(), tmp_path / "a")
    heir = prepared(Counting)
    run(heir, tmp_path / "b", tmp_path / "a", kind="evaluate", start=5)
    assert heir.limit == 4


def test_modules_are_in_the_mode_that_each_method_needs(tmp_path: Path) -> None:
    modes = []

    class Watched(Everything):
        def train(self, steps: int) -> None:
            modes.append((self.net.training, torch.is_grad_enabled()))
            super().train(steps)

        def evaluate(self) -> Any:
            modes.append((self.net.training, torch.is_grad_enabled()))
            return super().evaluate()

    member = Watched()
    run(member, tmp_path, evaluations=2)
    run(member, tmp_path, tmp_path)
    assert modes == [(True, True), (False, False), (False, False), (True, True), (False, False)]


def test_a_member_brought_back_is_ready_to_use(tmp_path: Path) -> None:
    donor = Everything()
    run(donor, tmp_path)
    trial = Trial(id=0, seed=1, member=0, turn=0, start=0, stop=5, hparams={"lr": 0.01})
    member = revive(Everything, trial, tmp_path, "score")
    x = torch.randn(3, 4)
    assert not member.net.training
    assert torch.equal(member.net(x), donor.net.eval()(x))


# Files that are not ours ---------------------------------------------------------------


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil-was-here",)


def test_loading_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"parts": Evil(), "scalars": {}}, tmp_path / STATE_FILE)
    with pytest.raises(TrainingError, match="because it could run code"):
        run(prepared(), tmp_path / "b", tmp_path)
    assert not Path("evil-was-here").exists()


def test_a_checkpoint_without_our_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"there is no {STATE_FILE} in the checkpoint"):
        run(prepared(), tmp_path / "b", tmp_path)


def test_a_member_that_setup_built_differently_is_explained(tmp_path: Path) -> None:
    class Other(Everything):
        def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
            super().setup(hparams, seed)
            self.extra = torch.nn.Linear(1, 1)

    run(Everything(), tmp_path / "a")
    with pytest.raises(TrainingError, match=r"but setup\(\) made .*self.extra"):
        run(prepared(Other), tmp_path / "b", tmp_path / "a")


def test_a_part_made_while_training_is_refused_when_saving(tmp_path: Path) -> None:
    class Late(Everything):
        def train(self, steps: int) -> None:
            self.late = torch.nn.Linear(1, 1)

    with pytest.raises(TrainingError, match=r"self.late has a state .* after setup\(\)"):
        run(Late(), tmp_path)


def test_a_part_replaced_while_training_is_refused_when_saving(tmp_path: Path) -> None:
    class Replacing(Everything):
        def train(self, steps: int) -> None:
            self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)

    with pytest.raises(TrainingError, match=r"self.opt has a state"):
        run(Replacing(), tmp_path)


def test_groups_that_setup_built_differently_are_explained(tmp_path: Path) -> None:
    class TwoGroups(Everything):
        def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
            super().setup(hparams, seed)
            self.opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
            self.scheduler = torch.optim.lr_scheduler.StepLR(self.opt, 3)

    run(Everything(), tmp_path / "a")
    with pytest.raises(TrainingError, match="has 1 parameter groups, this one 2"):
        run(prepared(TwoGroups), tmp_path / "b", tmp_path / "a")


def test_a_save_of_ones_own_that_forgets_the_optimizer_is_caught_by_the_check() -> None:
    class Forgetful(Everything):
        def save(self, directory: Path) -> None:
            torch.save(self.net.state_dict(), directory / "net.pt")

        def load(self, directory: Path) -> None:
            self.net.load_state_dict(torch.load(directory / "net.pt"))

    assert check(Forgetful, {"lr": 0.01}, "score").continues is False


def test_without_torch_the_message_gives_the_command() -> None:
    code = "import sys; sys.modules['torch'] = None; import heredity.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'heredity[torch]'" in done.stderr
    assert "MissingExtra" in done.stderr
