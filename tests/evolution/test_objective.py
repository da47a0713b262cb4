"""The objective: a name and a direction."""

import pytest

from heredity.errors import UsageError
from heredity.evolution.objective import Objective, maximize, minimize


def test_directions():
    assert (maximize("accuracy").sign, minimize("loss").sign) == (1, -1)
    assert (maximize().name, minimize().name) == ("score", "loss")


@pytest.mark.parametrize(("name", "direction"), [("", "maximize"), (3, "maximize"), ("q", "max")])
def test_what_is_no_objective(name, direction):
    with pytest.raises(UsageError):
        Objective(name, direction)
