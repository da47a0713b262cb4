"""What counts as the same state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from tree_toys import trees

from heredity.torch.progress import same, snapshot

NAN = float("nan")


@given(trees)
def test_a_state_is_the_same_as_its_snapshot(tree: Any) -> None:
    assert same(snapshot(tree), tree)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.tensor([1.0, NAN]), torch.tensor([2.0, NAN])),
        (torch.tensor([1.0, NAN]), torch.tensor([NAN, 1.0])),
        (torch.ones(2), torch.ones(2, 1)),
        (torch.ones(1), 1.0),
        ({"a": [torch.ones(1)]}, {"a": [torch.zeros(1)]}),
        ({"a": 1}, {"b": 1}),
        ([1], [1, 2]),
        (NAN, 1.0),
    ],
)
def test_different_states_are_not_the_same(left: Any, right: Any) -> None:
    assert not same(left, right)
    assert not same(right, left)
