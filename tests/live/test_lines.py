"""Plain lines: at the start, now and then, at the end."""

from __future__ import annotations

import io

import pytest

from heredity.live.facts import Facts
from heredity.live.lines import Lines, not_verified
from live.played import facts_after


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def said(lines: Lines, stream: io.StringIO, facts: Facts, left_s: float | None = None) -> list[str]:
    """What drawing these facts adds."""
    before = len(stream.getvalue())
    lines.draw(facts, left_s)
    return stream.getvalue()[before:].splitlines()


def test_a_line_comes_every_tenth_and_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.open("toy", "starting")
    assert said(lines, stream, facts_after(0)) == ["toy: 4 members, 0 of 50 steps"]
    assert said(lines, stream, facts_after(1)) == []
    (line,) = said(lines, stream, facts_after(2), 75.0)
    assert line.startswith("toy: 10%, 5 of 50 steps, 1:15 left; best ")
    assert said(lines, stream, facts_after(2)) == []
    clock.now = 9.9
    assert said(lines, stream, facts_after(2)) == []
    clock.now = 10.1
    assert len(said(lines, stream, facts_after(2))) == 1


def test_the_end_tells_what_became_of_it() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.close(facts_after(1000), ("dropout", "width"))
    ended, remark = stream.getvalue().splitlines()
    assert ended.startswith("toy: ended (every member has trained 50 steps); 20 trials; best ")
    assert "exploits " in ended
    assert "not verified" in remark
    assert "dropout, width" in remark


@pytest.mark.parametrize(
    ("kind", "remedy"), [("class", "`in_force`"), ("function", "session.applied"), ("command", "")]
)
def test_the_remark_on_hparams_says_what_can_be_done(kind: str, remedy: str) -> None:
    """Nothing can be done about those of a command, so nothing is said."""
    facts = facts_after(1000)
    facts.population.definition = {**facts.population.definition, "trainable": kind}
    assert remedy in not_verified(facts, ("lr",))
    assert bool(not_verified(facts, ("lr",))) == bool(remedy)
    assert not_verified(facts, ()) == ""


def test_a_study_that_was_stopped_is_not_called_ended() -> None:
    stream = io.StringIO()
    Lines(stream).close(facts_after(3), ())
    assert stream.getvalue().startswith("toy: stopped for now; 3 trials")


def test_what_never_began_says_nothing() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.open("toy", "starting")
    lines.close(None, ())
    assert stream.getvalue() == ""


def test_going_on_says_after_how_much() -> None:
    stream = io.StringIO()
    assert said(Lines(stream), stream, facts_after(8)) == [
        "toy: 4 members, 20 of 50 steps, going on after 8 trials"
    ]
