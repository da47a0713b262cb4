"""Strategies and spaces as JSON and back."""

import doctest
import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity import describe as module
from heredity.describe import describe, rebuild
from heredity.errors import UsageError
from heredity.testing import strategies


@dataclass(frozen=True)
class Rule:
    """A strategy as users write them."""

    rate: float = 0.5
    names: tuple[str, ...] = ()
    inner: object = None
    table: dict[str, object] = field(default_factory=dict)
    derived: int = field(default=0, init=False)

    @dataclass(frozen=True)
    class Nested:
        value: int


def through_json(value):
    return rebuild(json.loads(json.dumps(describe(value), allow_nan=False)))


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
rules = st.builds(
    Rule,
    rate=st.floats(0, 1),
    names=st.lists(st.text()).map(tuple),
    inner=scalars | st.builds(Rule) | st.builds(Rule.Nested, st.integers()),
    table=st.dictionaries(st.text(), scalars | st.builds(Rule)),
)


@given(rules)
def test_a_dataclass_survives(rule):
    assert through_json(rule) == rule


@given(strategies.spaces())
def test_a_space_survives_in_order(space):
    again = through_json(space)
    assert again == space
    assert again.names == space.names


@given(strategies.algorithms())
def test_an_algorithm_survives(algorithm):
    assert through_json(algorithm) == algorithm


def test_a_class_is_named_by_its_module():
    assert describe(Rule.Nested(3))["type"] == f"{__name__}:Rule.Nested"


@pytest.mark.parametrize("value", [object(), {1, 2}, print, Rule, float("nan"), float("inf")])
def test_what_cannot_be_described_is_said(value):
    with pytest.raises(UsageError, match="cannot be part of a study's definition"):
        describe(Rule(inner=value))


@pytest.mark.parametrize("name", ["no_such_module:Thing", "heredity.describe:NoSuchClass"])
def test_a_class_that_is_missing_is_named(name):
    with pytest.raises(UsageError, match=f"names {name}, which cannot be imported"):
        rebuild({"type": name})


def test_examples():
    assert doctest.testmod(module).failed == 0
