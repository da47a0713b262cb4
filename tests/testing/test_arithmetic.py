"""The numpy program keeps the protocol's promises, so tests of drivers can lean on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import heredity as h
from heredity.executors.program import Round, Setting
from heredity.testing.arithmetic import Arithmetic, ArithmeticProgram, gain

SPACE = h.Space(x=h.Uniform(0, 1))
X = np.array([0.2, 0.5, 0.7])


def opened(slots: int = 1) -> ArithmeticProgram:
    program = Arithmetic().program()
    program.open(Setting(SPACE, 3, 4, "progress", 0, slots=slots))
    return program


def turn(steps: int = 1, idle: list[bool] | None = None) -> Round:
    rows = np.arange(3)
    return Round(
        sources=rows,
        turns=np.zeros(3, np.int64),
        starts=np.zeros(3, np.int64),
        hparams={"x": X},
        steps=steps,
        measured=np.ones(3, bool),
        idle=None if idle is None else np.array(idle),
    )


def saved(program: ArithmeticProgram, to: Path) -> Path:
    to.mkdir()
    program.copy().write(to)
    return to


def member(program: ArithmeticProgram, at: Path, row: int) -> float:
    return program.member(at, row, {"x": 0.5}, SPACE)


def test_idle_rows_come_out_as_they_went_in() -> None:
    program = opened()
    program.start(turn())
    before = program.finish().metrics["progress"]
    program.start(turn(idle=[False, True, False]))
    after = program.finish().metrics["progress"]
    assert after[1] == before[1]
    assert after[0] == before[0] + gain(0.2)
    assert after[2] == before[2] + gain(0.7)


def test_slots_lie_behind_the_rows_the_first_one_last(tmp_path: Path) -> None:
    program = opened(slots=2)
    program.start(turn())
    first = program.finish().metrics["progress"]
    program.keep({0: 2, 1: 0})
    program.start(turn())
    program.keep({1: 1})
    at = saved(program, tmp_path / "saved")
    assert member(program, at, -1) == first[2]
    assert member(program, at, -2) == first[1] + gain(0.5)


def test_a_file_with_another_number_of_slots_is_taken_as_far_as_both_have_them(
    tmp_path: Path,
) -> None:
    program = opened(slots=2)
    program.start(turn())
    program.keep({0: 2, 1: 0})
    two = saved(program, tmp_path / "two")

    for slots in (1, 3):
        other = opened(slots=slots)
        other.load(two)
        assert (other.finish().metrics["progress"] == program.finish().metrics["progress"]).all()
        at = saved(other, tmp_path / str(slots))
        assert member(other, at, -1) == gain(0.7)
    assert member(other, at, -2) == gain(0.2)
    assert np.isnan(member(other, at, -3))
