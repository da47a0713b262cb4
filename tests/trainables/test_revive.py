"""A trained member, brought back from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from heredity.errors import UsageError
from heredity.evolution.trial import Trial
from heredity.trainables.function import as_trainable
from heredity.trainables.revive import revive
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable

TRIAL = Trial(id=3, seed=0, member=0, turn=0, hparams={"lr": 0.25}, start=0, stop=10)


class Counter(Trainable):
    def prepare(self) -> None:
        self.calls = ["prepare"]

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.calls.append("setup")

    def configure(self, hparams: Mapping[str, Any]) -> None:
        self.calls.append("configure")

    def train(self, steps: int) -> None:
        raise AssertionError("nothing is to be trained")

    evaluate = save = train  # type: ignore[assignment]

    def load(self, directory: Path) -> None:
        self.calls.append("load")
        self.total = float((directory / "total").read_text())


def test_it_is_prepared_set_up_loaded_and_configured(tmp_path: Path) -> None:
    (tmp_path / "total").write_text("7.0")
    member = revive(Counter, TRIAL, tmp_path, "score")
    assert isinstance(member, Counter)
    assert member.calls == ["prepare", "setup", "load", "configure"]
    assert (member.total, member.hparams["lr"]) == (7.0, 0.25)
    assert list(tmp_path.iterdir()) == [tmp_path / "total"]


def test_a_function_leaves_no_object_to_bring_back(tmp_path: Path) -> None:
    def train(session: Session) -> None: ...

    with pytest.raises(UsageError, match="load the files"):
        revive(as_trainable(train), TRIAL, tmp_path, "score")
