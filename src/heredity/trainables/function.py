"""Functions as Trainables: `def train(session)`, and what else a study accepts as one.

A function is handed everything through the Session, so what it was handed and did not use (weights
to restore, a folder to save into, a ramp) is an error here: silently, it would be no inheritance.
"""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from heredity.errors import TrainingError, UsageError
from heredity.trainables.command import Command
from heredity.trainables.metrics import demand, mean_of
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable

REQUIRED = ("setup", "train", "evaluate", "save", "load")
"""What a subclass of `Trainable` must write, or inherit from a framework's helper."""

TrainFunction = Callable[[Session], None]


class FunctionTrainable(Trainable):
    """Runs a function `train(session)` once per trial, and once per further evaluation.

    The function restores from `session.restore` if that is not None, trains from `session.start`
    to `session.stop`, saves into `session.save` and reports. To measure again, it is called with
    start == stop: nothing to train.
    """

    resident: ClassVar[bool] = False
    kind: ClassVar[str] = "function"

    def __init__(self, function: TrainFunction) -> None:
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def run(self, session: Session) -> None:
        """Perform one trial by calling the function."""
        self.session = session
        if session.kind == "evaluate":
            measured = [self._measure(session, number) for number in range(session.evaluations)]
            session.conclude(mean_of(measured), session.stop)
            return
        session.seed_part("train")
        self._call(session)
        if not session.keeps:
            return
        if not any(session.save.iterdir()):
            raise TrainingError(
                f"{self.name}(session) saved nothing: write all that training needs to go on into "
                "the folder session.save, or nothing can be inherited"
            )
        again = [
            self._measure(session, number, restore=session.save)
            for number in range(1, session.evaluations)
        ]
        session.conclude(mean_of([session.result, *again]), session.reached)

    def _call(self, session: Session) -> None:
        self.function(session)
        if session.evaluations:
            demand(session.metric, session.result, f"{self.name}(session)")
        session.require_used(f"{self.name}(session)")

    def _measure(
        self, session: Session, number: int, restore: Path | None = None
    ) -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="heredity-") as scratch:
            evaluation = session.evaluation(Path(scratch), restore)
            evaluation.seed_part("evaluate", number)
            self._call(evaluation)
        session.take(evaluation)
        return evaluation.result


def as_trainable(obj: Any) -> Callable[[], Trainable]:
    """A maker of Trainables from what a user may give a study.

    A subclass of `Trainable`, a callable without arguments that returns one, a function of one
    argument, the session, or a `Command`. Anything else is a `UsageError` that says what to give.
    """
    if isinstance(obj, Command):
        from heredity.trainables.command.trial import CommandTrainable  # slow to import

        return functools.partial(CommandTrainable, obj)
    if isinstance(obj, Trainable):
        name = type(obj).__name__
        raise UsageError(
            f"every worker needs a {name} of its own: give the class `{name}`, or a callable that "
            f"makes one such as `lambda: {name}(…)`, instead of an instance"
        )
    if not callable(obj):
        raise UsageError(f"{_EXPECTED}, not {obj!r:.80}")
    count = _required_arguments(obj)
    if isinstance(obj, type):
        return _of_class(obj, count)
    if count == 0:
        return functools.partial(_made_by, obj)
    if count == 1:
        return functools.partial(FunctionTrainable, obj)
    raise UsageError(
        f"{_EXPECTED}, not {_name(obj)}, which takes {count} arguments: "
        "bind the others with functools.partial"
    )


_EXPECTED = (
    "a study trains a subclass of hd.Trainable, a callable without arguments that returns a "
    "Trainable, a function `train(session)`, or an hd.Command"
)


def _of_class(cls: type, count: int) -> Callable[[], Trainable]:
    if not issubclass(cls, Trainable):
        raise UsageError(f"{_EXPECTED}; the class {_name(cls)} is none of these")
    if count:
        raise UsageError(
            f"{_name(cls)}() takes {count} argument{'s' * (count > 1)}: give a callable that binds "
            f"them, such as functools.partial({_name(cls)}, …)"
        )
    missing = [name for name in REQUIRED if getattr(cls, name) is getattr(Trainable, name)]
    if missing and cls.run is Trainable.run:
        raise UsageError(f"the class {_name(cls)} lacks the methods it needs: {', '.join(missing)}")
    return cls


def _made_by(make: Callable[[], Any]) -> Trainable:
    made = make()
    if not isinstance(made, Trainable):
        raise UsageError(
            f"{_name(make)}() returned {made!r:.80}: {_EXPECTED}. "
            "Did you forget the argument `session`?"
        )
    return made


def _required_arguments(obj: Callable[..., Any]) -> int:
    """How many arguments a call must give; 1 where the callable cannot be asked."""
    try:
        parameters = inspect.signature(obj).parameters.values()
    except (TypeError, ValueError):
        return 0 if isinstance(obj, type) else 1
    return sum(
        parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in parameters
    )


def _name(obj: Any) -> str:
    return getattr(obj, "__qualname__", None) or type(obj).__name__
