"""A view draws at a bounded cost, and nothing where nothing was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import heredity as hd
from heredity.live import LONGEST_PERIOD_S, PERIOD_S, SHARE, View, view_of
from heredity.live.facts import Facts
from live.played import facts_after


class Sketch:
    """A screen on which every picture takes `cost_s` of a clock of its own."""

    def __init__(self, cost_s: float) -> None:
        self.now, self.cost_s = 0.0, cost_s
        self.drawn: list[float] = []
        self.closed: list[Any] = []

    def open(self, name: str, doing: str) -> None: ...

    def draw(self, facts: Facts, left_s: float | None) -> None:
        self.drawn.append(self.now)
        self.now += self.cost_s

    def close(self, facts: Facts | None, unverified: tuple[str, ...]) -> None:
        self.closed.append((facts and facts.population.status, unverified))


def driver() -> Any:
    """What a view reads of a driver."""
    log = SimpleNamespace(population=facts_after(5).population)
    return SimpleNamespace(log=log, seconds=1.0, unverified=("depth",))


@pytest.mark.parametrize("cost_s", [0.0, 0.001, 0.01, 10.0])
def test_drawing_takes_its_share_and_no_more(cost_s: float) -> None:
    screen, it = Sketch(cost_s), driver()
    view = View("toy", screen, clock=lambda: screen.now)
    while screen.now < 100 and len(screen.drawn) < 1000:
        view.show(it)
        screen.now += 0.01
    pauses = [b - a - cost_s for a, b in zip(screen.drawn, screen.drawn[1:], strict=False)]
    assert min(pauses) >= min(LONGEST_PERIOD_S, max(PERIOD_S, cost_s / SHARE)) - 1e-6
    assert max(pauses) <= LONGEST_PERIOD_S + 0.02


def test_the_last_state_is_left_standing() -> None:
    screen = Sketch(0.0)
    view = View("toy", screen, clock=lambda: screen.now)
    view.show(driver())
    view.close()
    assert screen.closed == [("running", ("depth",))]


def test_a_study_that_never_began_leaves_nothing() -> None:
    screen = Sketch(0.0)
    View("toy", screen).close()
    assert screen.closed == [(None, ())]


def test_off_is_silent_and_brings_in_no_rich(capsys: pytest.CaptureFixture[str]) -> None:
    with view_of("toy", "off") as view:
        view.show(driver())
    assert capsys.readouterr() == ("", "")


def test_elsewhere_than_in_a_terminal_come_plain_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(session: hd.Session) -> None:
        if session.restore is not None:
            assert (session.restore / "state").exists()
        (session.save / "state").touch()
        session.report(step=session.stop, loss=session.hparams["lr"])

    study = hd.Study(
        train,
        hd.Space(lr=hd.LogUniform(0.01, 1.0)),
        objective=hd.minimize("loss"),
        population=2,
        interval=10,
        budget=hd.Steps(20),
        name="plain",
        storage=tmp_path,
    )
    assert not sys.stderr.isatty()
    study.run(hd.Inline())
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("plain: 2 members, 0 of 20 steps\n")
    assert "plain: ended (every member has trained 20 steps); 4 trials" in err
