"""A study that ramps hparams refuses at once what trains with them as they are at its start."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import heredity as hd
from heredity.trainables.ramps import require_ramps
from toys import Toy, toy_study

RAMPS = hd.PBT(ramp=0.5)


def deaf(session: hd.Session) -> None:
    for _ in range(session.start, session.stop):
        session.applied(lr=session.hparams["lr"])


def asks(session: hd.Session) -> None:
    for step in range(session.start, session.stop):
        session.applied(lr=session.hparams_at(step)["lr"])


def asks_inside(session: hd.Session) -> None:
    def rate(step: int) -> Any:
        return session.hparams_at(step)["lr"]

    rate(session.start)


def hands_on(session: hd.Session) -> None:
    asks(session)


class Callable:
    def __call__(self, session: hd.Session) -> None:
        asks(session)


COMMAND = hd.Command("train --lr {lr} --out {save} [--from {restore}]", metrics={"loss": "(.*)"})


@pytest.mark.parametrize(
    "trainable",
    [
        Toy,
        asks,
        asks_inside,
        hands_on,
        functools.partial(asks),
        Callable(),
        lambda s: asks(s),
        None,
    ],
)
def test_what_may_ramp_is_taken(trainable: Any) -> None:
    toy_study(trainable=trainable, algorithm=RAMPS)


@pytest.mark.parametrize("algorithm", [RAMPS, hd.Stopping(RAMPS)])
@pytest.mark.parametrize(("trainable", "words"), [(deaf, "deaf"), (COMMAND, "a command")])
def test_what_cannot_ramp_is_refused_with_the_remedy(
    trainable: Any, words: str, algorithm: Any
) -> None:
    with pytest.raises(hd.UsageError, match=f"{words}.*ramp=0"):
        toy_study(trainable=trainable, algorithm=algorithm)
    toy_study(trainable=trainable)


def test_without_text_nobody_is_suspected() -> None:
    namespace: dict[str, Any] = {}
    exec("def train(session): pass", namespace)
    require_ramps(namespace["train"], "function")
