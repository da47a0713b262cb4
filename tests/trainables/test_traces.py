"""What a person sees of an exception: one line, and only their own frames."""

from __future__ import annotations

from pathlib import Path

import pytest

import heredity
from heredity.errors import TrainingError
from heredity.trainables.metrics import as_float
from heredity.trainables.traces import one_line, user_frames

OURS = str(Path(heredity.__file__).parent)


def caught(action: object) -> BaseException:
    with pytest.raises(BaseException) as info:  # noqa: PT011
        action()  # type: ignore[operator]
    return info.value


def bug() -> None:
    raise ValueError("bad shape\nmore")


def test_an_error_is_one_line_with_its_type() -> None:
    assert one_line(ValueError("bad shape\nmore")) == "ValueError: bad shape …"
    assert one_line(KeyError("lr")) == "KeyError: 'lr'"
    assert one_line(MemoryError()) == "MemoryError"
    assert one_line(SystemExit(1)) == "SystemExit: 1"


def test_our_own_errors_speak_for_themselves() -> None:
    assert one_line(TrainingError("say what to do")) == "say what to do"


def test_the_users_frames_are_shown() -> None:
    frames = user_frames(caught(bug))
    assert "in bug" in frames
    assert frames.rstrip().endswith("more")


def test_our_frames_are_not() -> None:
    frames = user_frames(caught(lambda: as_float("x", "text")))
    assert OURS not in frames
    assert __file__ in frames


def test_an_error_raised_only_by_us_has_none() -> None:
    error = TrainingError("no user code ran")
    assert user_frames(error) == ""


def test_what_another_program_said_stands_for_its_frames() -> None:
    assert user_frames(TrainingError("it failed", remote_traceback="its words")) == "its words"


def test_the_cause_keeps_its_frames() -> None:
    def wrapped() -> None:
        try:
            bug()
        except ValueError as error:
            raise RuntimeError("while training") from error

    frames = user_frames(caught(wrapped))
    assert "in bug" in frames
    assert "direct cause" in frames


def test_a_syntax_error_points_at_its_line() -> None:
    frames = user_frames(caught(lambda: compile("x = = 1", "model.py", "exec")))
    assert "x = = 1" in frames
    assert "model.py" in frames
