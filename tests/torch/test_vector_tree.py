"""States as flat mappings and back, and which of their rows are finite."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heredity.errors import UsageError
from heredity.torch.vector.tree import finite_rows, flatten, precision_of, unflatten

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    "tree",
    [torch.ones(2), {"a": torch.ones(1), "b": {"c": torch.zeros(2), "d": {"e": torch.ones(())}}}],
    ids=["bare", "nested"],
)
def test_a_state_comes_back_as_it_was(tree: Any) -> None:
    flat = flatten(tree, "init(hparams)")
    assert all(isinstance(path, str) for path in flat)
    assert str(unflatten(flat)) == str(tree)


@pytest.mark.parametrize("key", ["a/b", "", 3])
def test_keys_are_texts_without_slashes(key: Any) -> None:
    with pytest.raises(UsageError, match="keys are texts without `/`"):
        flatten({key: torch.ones(1)}, "init(hparams)")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_a_row_is_finite_if_all_of_it_is(dtype: torch.dtype) -> None:
    leaf = torch.full((6, 2, 50), 3e38, dtype=dtype)  # whose sum is more than float32 holds
    leaf[1, 0, 3], leaf[2, 1, 4], leaf[3, 0, 0] = NAN, INF, -INF
    leaf[4, 0, 0], leaf[4, 1, 1] = INF, -INF
    state = {"x": leaf, "count": torch.arange(6), "bare": torch.ones(6)}
    state["bare"][5] = NAN
    assert finite_rows(state).tolist() == [True, False, False, False, False, False]


def test_a_state_without_real_numbers_is_finite() -> None:
    assert finite_rows({"count": torch.arange(3)}).tolist() == [True] * 3


def test_the_precision_is_that_of_the_first_real_numbers() -> None:
    count, half, double = torch.arange(2), torch.ones(2).half(), torch.ones(2).double()
    assert precision_of({"a": count, "b": half, "c": double}) == torch.float32
    assert precision_of({"a": count, "c": double}) == torch.float64
