"""What user code returns: every kind of number is accepted, everything else explained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import TrainingError
from heredity.trainables.metrics import as_float, as_metrics, demand, mean_of

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(finite)
def test_numbers_of_every_kind_become_the_same_float(value: float) -> None:
    import torch

    for number in (
        value,
        np.float32(value),
        np.float64(value),
        np.array(value),
        np.array([[value]]),
        torch.tensor(value, requires_grad=True),
        torch.tensor([value]),
    ):
        seen = as_float("x", number)
        assert type(seen) is float
        assert seen == value


def test_jax_numbers_become_floats() -> None:
    import jax.numpy as jnp

    assert as_float("x", jnp.float32(0.5)) == 0.5
    assert as_float("x", jnp.ones((1,))) == 1.0


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_whole_numbers_are_numbers(value: Any) -> None:
    assert as_float("x", value) == float(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_pass(value: float) -> None:
    assert as_float("x", value) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "must be a number, not None"),
        ("0.9", "must be a number, not '0.9'"),
        (b"0.9", "must be a number, not b'0.9'"),
        (np.zeros(3), "not an array of 3 elements: reduce it"),
        (np.zeros(0), "not an array of 0 elements"),
        ([0.9], "must be a number, not list"),
        ({"a": 1}, "must be a number, not dict"),
        (1j, "must be a number, not complex"),
        (object, "must be a number, not type"),
    ],
)
def test_anything_else_is_explained_by_name(value: Any, said: str) -> None:
    with pytest.raises(TrainingError, match="metric `accuracy`") as caught:
        as_float("accuracy", value)
    assert said in str(caught.value)


def test_a_torch_tensor_of_many_elements_is_explained() -> None:
    import torch

    with pytest.raises(TrainingError, match="not an array of 6 elements"):
        as_float("accuracy", torch.zeros(2, 3))


def test_a_bare_number_is_the_objective() -> None:
    assert as_metrics(0.5, "accuracy") == {"accuracy": 0.5}


def test_a_mapping_keeps_its_names() -> None:
    returned = {"accuracy": np.float32(0.5), "test_accuracy": 1}
    assert as_metrics(returned, "accuracy") == {"accuracy": 0.5, "test_accuracy": 1.0}


def test_forgetting_to_return_is_recognised() -> None:
    with pytest.raises(TrainingError, match=r"evaluate\(\) returned None: return a number"):
        as_metrics(None, "accuracy")


@pytest.mark.parametrize("returned", [(0.5, 0.4), [0.5], {0.5}])
def test_several_numbers_need_names(returned: Any) -> None:
    with pytest.raises(TrainingError, match=f"returned a {type(returned).__name__}"):
        as_metrics(returned, "accuracy")


def test_a_missing_objective_suggests_the_name_meant() -> None:
    with pytest.raises(TrainingError, match=r"no metric `accuracy`.*Did you mean `acuracy`"):
        demand("accuracy", {"acuracy": 0.5}, "evaluate()")


def test_a_present_objective_is_enough() -> None:
    demand("accuracy", {"accuracy": math.nan}, "evaluate()")


def test_one_measurement_is_itself() -> None:
    assert mean_of([{"accuracy": 0.5}]) == {"accuracy": 0.5}
    assert mean_of([]) == {}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_several_are_averaged_with_their_spread(values: list[float]) -> None:
    result = mean_of([{"x": value} for value in values])
    assert result["x"] == pytest.approx(np.mean(values), abs=1e-6)
    assert result["x_std"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)


@given(st.permutations([0.5, 0.7, math.nan]), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_one_measurement_that_is_not_finite_spoils_the_mean(
    values: list[float], bad: float
) -> None:
    result = mean_of([{"x": bad if math.isnan(value) else value} for value in values])
    assert math.isnan(result["x"])


@pytest.mark.parametrize("value", [True, False, np.bool_(True), np.array([True])])
def test_a_truth_value_is_no_measurement(value: object) -> None:
    with pytest.raises(TrainingError, match="metric `loss` must be a number, not"):
        as_float("loss", value)
