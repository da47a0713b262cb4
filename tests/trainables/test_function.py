"""Functions of a session, and what else a study accepts as something to train."""

from __future__ import annotations

import functools
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heredity.errors import TrainingError, UsageError
from heredity.evolution.trial import Trial
from heredity.trainables.function import FunctionTrainable, as_trainable
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable


def count(session: Session) -> None:
    """Adds `lr` at each step."""
    total = float((session.restore / "total").read_text()) if session.restore else 0.0
    total += session.hparams["lr"] * session.steps
    (session.save / "total").write_text(str(total))
    session.report(score=total)


def session(folder: Path, restore: Path | None = None, **changes: Any) -> Session:
    given: dict[str, Any] = {
        "id": 1, "seed": 5, "member": 0, "turn": 0, "start": 0, "stop": 10, "hparams": {"lr": 0.5}
    }  # fmt: skip
    return Session(
        Trial(**(given | changes)),
        metric="score",
        save=folder,
        restore=restore,
        interpolate=lambda a, b, fraction: b,
    )


def folders(root: Path) -> tuple[Path, Path]:
    save, restore = root / "save", root / "restore"
    save.mkdir()
    restore.mkdir()
    (restore / "total").write_text("7.0")
    return save, restore


def run(function: Callable[[Session], None], live: Session) -> Session:
    FunctionTrainable(function).run(live)
    return live


def test_from_scratch(tmp_path: Path) -> None:
    live = run(count, session(tmp_path))
    assert live.result == {"score": 5.0}
    assert (tmp_path / "total").read_text() == "5.0"
    assert live.unconsumed == ()


def test_from_inherited_weights(tmp_path: Path) -> None:
    save, restore = folders(tmp_path)
    live = run(count, session(save, restore, start=10, stop=20))
    assert live.result == {"score": 12.0}
    assert (restore / "total").read_text() == "7.0"


def noisy(session: Session) -> None:
    count(session)
    session.report(score=session.result["score"], noise=random.random())


def test_an_evaluation_calls_it_with_nothing_to_train_and_keeps_nothing(tmp_path: Path) -> None:
    save, restore = folders(tmp_path)
    live = run(noisy, session(save, restore, start=10, kind="evaluate", evaluations=3))
    assert live.result["score"] == 7.0
    assert live.result["noise_std"] > 0
    assert list(save.iterdir()) == []


def test_further_evaluations_measure_what_was_saved(tmp_path: Path) -> None:
    live = run(noisy, session(tmp_path, evaluations=3))
    assert live.result["score"] == 5.0
    assert live.result["score_std"] == 0.0
    assert live.result["noise_std"] > 0
    assert live.reached == 10


def test_the_seed_decides_what_it_draws(tmp_path: Path) -> None:
    results = [run(noisy, session(tmp_path, seed=seed)).result for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_stopping_early(tmp_path: Path) -> None:
    def stopping(session: Session) -> None:
        (session.save / "x").touch()
        session.report(step=4, score=1.0)
        assert session.stop_requested

    live = Session(session(tmp_path)._record, metric="score", save=tmp_path, stop_requested=bool)
    live._asked_to_stop = lambda: True
    assert run(stopping, live).reached == 4


# What it was handed and did not use ----------------------------------------------------


def test_weights_that_are_not_restored_are_an_error(tmp_path: Path) -> None:
    def forgetful(session: Session) -> None:
        (session.save / "x").touch()
        session.report(score=1.0)

    save, restore = folders(tmp_path)
    with pytest.raises(TrainingError, match=r"forgetful\(session\) did not read session.restore"):
        run(forgetful, session(save, restore, start=10, stop=20))


def test_saving_nothing_is_an_error(tmp_path: Path) -> None:
    def forgetful(session: Session) -> None:
        session.report(score=1.0)

    with pytest.raises(TrainingError, match=r"forgetful\(session\) saved nothing"):
        run(forgetful, session(tmp_path))


def test_a_diverged_one_need_not_save(tmp_path: Path) -> None:
    live = run(lambda session: session.report(score=float("nan")), session(tmp_path))
    assert live.diverged


def test_ignoring_a_ramp_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"did not call session.hparams_at\(step\)"):
        run(count, session(tmp_path, ramp_from={"lr": 0.1}, ramp_steps=5))


def test_a_ramp_is_followed_by_asking_at_each_step(tmp_path: Path) -> None:
    def ramped(session: Session) -> None:
        total = sum(session.hparams_at(step)["lr"] for step in range(session.start, session.stop))
        (session.save / "total").write_text(str(total))
        session.report(score=total)

    assert run(ramped, session(tmp_path, ramp_from={"lr": 0.5}, ramp_steps=5)).result


@pytest.mark.parametrize("reports", [{}, {"scores": 1.0}])
def test_reporting_no_score_is_an_error(tmp_path: Path, reports: dict[str, float]) -> None:
    def silent(session: Session) -> None:
        (session.save / "x").touch()
        if reports:
            session.report(**reports)

    with pytest.raises(TrainingError, match=r"silent\(session\) gave no metric `score`"):
        run(silent, session(tmp_path))


# What a study accepts ------------------------------------------------------------------


class Member(Trainable):
    def __init__(self, width: int = 8) -> None:
        self.width = width

    def setup(self, hparams: Any, seed: int) -> None: ...
    def train(self, steps: int) -> None: ...
    def evaluate(self) -> float: ...
    def save(self, directory: Path) -> None: ...
    def load(self, directory: Path) -> None: ...


class NeedsWidth(Member):
    def __init__(self, width: int) -> None:
        super().__init__(width)


class Unfinished(Trainable):
    def setup(self, hparams: Any, seed: int) -> None: ...
    def train(self, steps: int) -> None: ...


class Unrelated:
    pass


def make_member() -> Trainable:
    return Member(16)


def forgot_session() -> None:
    pass


def two(session: Session, width: int) -> None:
    pass


class Callable1:
    def __call__(self, session: Session) -> None:
        pass


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (Member, Member),
        (make_member, Member),
        (functools.partial(NeedsWidth, 4), NeedsWidth),
        (lambda: Member(2), Member),
        (count, FunctionTrainable),
        (functools.partial(two, width=3), FunctionTrainable),
        (Callable1(), FunctionTrainable),
        (lambda session, factor=2: None, FunctionTrainable),
    ],
)
def test_what_is_accepted(given: Any, made: type) -> None:
    make = as_trainable(given)
    assert type(make()) is made
    assert make() is not make()


@pytest.mark.parametrize("given", [Member, make_member, count])
def test_what_is_made_of_importable_things_can_be_sent_to_workers(given: Any) -> None:
    assert isinstance(pickle.loads(pickle.dumps(as_trainable(given)))(), Trainable)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Member(), "give the class `Member`"),
        (NeedsWidth, "functools.partial(NeedsWidth, …)"),
        (Unfinished, "Unfinished lacks the methods it needs: evaluate, save, load"),
        (Unrelated, "the class Unrelated is none of these"),
        (two, "two, which takes 2 arguments"),
        ("digits.py", "not 'digits.py'"),
        (None, "not None"),
    ],
)
def test_anything_else_is_refused_with_the_remedy(given: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_trainable(given)
    assert said in str(caught.value)


def test_a_function_without_its_argument_is_recognised_when_called() -> None:
    with pytest.raises(UsageError, match="Did you forget the argument `session`"):
        as_trainable(forgot_session)()
