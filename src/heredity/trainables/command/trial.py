"""One trial as one run of a program: what it is told, what came of it, and whether that is enough.

A program that ends well has printed its score and has saved. All else is an error that shows its
last lines, for a score without weights, or weights without a score, would be no inheritance. This
file knows the session; where the trial runs and what becomes of its files is the worker's affair.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from heredity.errors import TrainingError
from heredity.trainables.command import Command
from heredity.trainables.command.folders import copy_files, signatures, tidy, unaltered
from heredity.trainables.command.invocation import Invocation, Ran
from heredity.trainables.command.template import Template
from heredity.trainables.metrics import mean_of
from heredity.trainables.session import Session
from heredity.trainables.trainable import Trainable


class CommandTrainable(Trainable):
    """Runs a program once per trial, and once per further evaluation."""

    resident: ClassVar[bool] = False
    kind: ClassVar[str] = "command"

    def __init__(self, command: Command) -> None:
        self.command = command

    def run(self, session: Session) -> None:
        """Perform one trial by running the program."""
        self.session = session
        if session.ramps:
            raise TrainingError("a command cannot ramp its hparams while it runs: set ramp=0")
        with unaltered(session.restore):
            if session.kind == "train":
                self._carry_out(session)
            else:
                repeats = range(session.evaluations)
                measured = [self._measure(session, session.restore, n) for n in repeats]
                session.conclude(mean_of(measured), session.stop)

    # Training --------------------------------------------------------------------------

    def _carry_out(self, session: Session) -> None:
        if self.command.seed_save_folder and session.restore is not None:
            copy_files(session.restore, session.save)
        before = signatures(session.save)
        told = _told(session, session.seed, session.save, session.restore)
        ran = self._invocation(self.command.training, told, session).run(
            measured=lambda step, metrics: _report(session, step, metrics),
            stop_requested=lambda: session.stop_requested,
        )
        if ran.ended.told and ran.ended.code:
            _give_up(session, ran)
            return
        if not ran.diverged(session.metric):  # many programs fail once their loss is NaN
            ran.require_success()
            tidy(session.save, session.restore)
            ran.require(signatures(session.save) != before, _SAVED_NOTHING)
        session.conclude(self._metrics(session, ran), _reached(session, ran))

    def _metrics(self, session: Session, ran: Ran) -> dict[str, float]:
        """What the program found and, where that is not enough, what evaluations find."""
        metric, count = session.metric, session.evaluations
        measured = [ran.found.metrics] if metric in ran.found.metrics else []
        if not count or ran.diverged(metric):
            return ran.found.metrics
        if self.command.evaluate is None:
            ran.require_score()
        missing = range(len(measured), count)
        return mean_of([*measured, *(self._measure(session, session.save, n) for n in missing)])

    # Measuring again -------------------------------------------------------------------

    def _measure(self, session: Session, saved: Path | None, number: int) -> dict[str, float]:
        """Run the program that measures what was saved, with a seed of its own each time."""
        template = self.command.measuring
        if template is None:
            raise TrainingError(
                "a command without `evaluate` cannot measure again: "
                'hd.Command(…, evaluate="… {restore}")'
            )
        with tempfile.TemporaryDirectory(prefix="heredity-") as scratch:
            told = _told(session, _fresh_seed(session.seed, number), Path(scratch), saved)
            told |= {"start": session.stop, "steps": 0}
            ran = self._invocation(template, told, session).run()
        ran.require_success()
        ran.require_score()
        return ran.found.metrics

    def _invocation(
        self, template: Template, told: Mapping[str, Any], session: Session
    ) -> Invocation:
        return Invocation(self.command, template, told, session.hparams, session.metric)


_SAVED_NOTHING = (
    "the program saved nothing into the folder {save}: it must write all that training needs to go "
    "on there, or nothing can be inherited"
)


def _told(session: Session, seed: int, save: Path, restore: Path | None) -> dict[str, Any]:
    return {
        "steps": session.steps,
        "start": session.start,
        "stop": session.stop,
        "restore": None if restore is None else str(restore),
        "save": str(save),
        "seed": seed,
        "member": session.member,
        "trial": session.trial,
    }


def _fresh_seed(seed: int, number: int) -> int:
    """A seed for an evaluation, of the 31 bits that every program accepts."""
    digest = hashlib.blake2b(f"{seed}/evaluate/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


# Steps -------------------------------------------------------------------------------------


def _report(session: Session, step: int, metrics: Mapping[str, float]) -> None:
    session.report(step=_checked(session, step), **metrics)


def _checked(session: Session, step: int) -> int:
    if not session.start <= step <= session.stop:
        raise TrainingError(
            f"the output speaks of step {step}, but this trial goes from {session.start} to "
            f"{session.stop}: have the program count on from {{start}}, or give no `step`"
        )
    return step


def _reached(session: Session, ran: Ran) -> int:
    """Where the weights stand; one that does not say when it stopped counts in full."""
    if not ran.ended.told or ran.step is None:
        return session.stop
    return _checked(session, ran.step)


def _give_up(session: Session, ran: Ran) -> None:
    """A trial that was to stop and did not save: its steps are spent, its weights are lost."""
    if ran.step is None or _checked(session, ran.step) == session.stop:
        raise TrainingError(
            f"the program was told to stop and ended {ran.ended.manner}, without a step in its "
            "output: have it save and exit with 0 on SIGTERM, or give `step`",
            remote_traceback=ran.tail,
        )
    session.conclude({}, ran.step, keeps=False)
