"""One class for each reaction, and messages that suggest."""

from __future__ import annotations

import inspect

import pytest

from heredity import errors
from heredity.errors import HeredityError, MissingExtra, TrainingError, did_you_mean

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, HeredityError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_in_the_tree_that_is_drawn(error: type) -> None:
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__doc__


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_has_a_reaction_outside(error: type[HeredityError]) -> None:
    assert 1 <= error.exit_code < 64
    assert 400 <= error.http_status < 600


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.UsageError, ValueError),
        (errors.NotFound, LookupError),
        (errors.MissingExtra, ImportError),
    ],
)
def test_errors_are_also_what_python_calls_them(error: type, builtin: type) -> None:
    assert issubclass(error, builtin)


def test_a_missing_extra_says_how_to_install_it() -> None:
    message = str(MissingExtra("frames", "Result.frame()", "pandas"))
    assert "pip install 'heredity[frames]'" in message
    assert "pandas" in message


def test_a_training_error_says_where() -> None:
    error = TrainingError("broken", member=2, trial=7, remote_traceback="line 1")
    assert (str(error), error.member, error.trial) == ("broken", 2, 7)
    assert error.remote_traceback == "line 1"


def test_suggestions() -> None:
    assert did_you_mean("momentun", ["lr", "momentum"]) == " Did you mean `momentum`?"
    assert did_you_mean("zzz", ["lr", "momentum"]) == " Known: lr, momentum."
    assert did_you_mean("zzz", []) == ""
