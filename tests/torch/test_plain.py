"""Values taken apart and put together are equal, with their types; what is not plain is named."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter
from tree_toys import identical, trees

from heredity.errors import TrainingError
from heredity.torch.plain import Taken, decode, encode


def returned(value: Any) -> Any:
    """The value after its way through JSON, its tensors copied."""
    taken = Taken()
    text = json.dumps(encode(value, taken))
    return decode(json.loads(text), {name: each.clone() for name, each in taken.tensors.items()})


# Any tree ------------------------------------------------------------------------------


@given(trees)
def test_any_tree_comes_back_equal_and_with_its_types(tree: Any) -> None:
    assert identical(returned(tree), tree)


@given(st.text(max_size=4) | st.floats() | st.integers(), st.text(max_size=4))
def test_texts_that_look_like_tags_or_names_are_only_texts(value: Any, key: str) -> None:
    tree = {"tensor": ["tensor", value], key: torch.ones(1), f"{key}.{key}": torch.zeros(2)}
    tree["__metadata__"] = torch.ones(3)
    assert identical(returned(tree), tree)


def test_tensors_are_named_by_their_paths() -> None:
    taken = Taken()
    encode({"parts": {"net": OrderedDict(w=torch.ones(1)), "opt": {0: [torch.ones(2)]}}}, taken)
    assert list(taken.tensors) == ["parts.net.w", "parts.opt.0.0"]


# What torch's state dicts hold ---------------------------------------------------------


def test_a_module_keeps_the_versions_of_its_parts() -> None:
    state = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).state_dict()
    assert returned(state)._metadata == state._metadata
    assert state._metadata["1"] == {"version": 2}


def test_tied_tensors_are_kept_once_and_stay_tied() -> None:
    weight, taken = torch.ones(3, 3), Taken()
    json_state = encode({"a": weight, "b": weight.view(3, 3), "row": weight[0]}, taken)
    assert list(taken.tensors) == ["a", "row"]
    state = decode(json_state, taken.tensors)
    assert state["a"] is state["b"]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(3, 4).t(),
        torch.randn(()),
        torch.empty(0, 3),
        torch.ones(2, requires_grad=True),
        Parameter(torch.randn(3, 2).t()),
        Parameter(torch.arange(3), requires_grad=False),
    ],
    ids=lambda tensor: f"{type(tensor).__name__}{list(tensor.shape)}",
)
def test_layout_and_gradients_come_back(tensor: Tensor) -> None:
    assert identical(returned({"tensor": tensor}), {"tensor": tensor})


@pytest.mark.parametrize(
    "tensor", [torch.randn(4, 6)[:, ::2], torch.ones(1).expand(5), torch.randn(9)[2:4]]
)
def test_a_piece_of_a_tensor_comes_back_without_the_rest(tensor: Tensor) -> None:
    taken = Taken()
    encode([tensor], taken)
    assert torch.equal(returned([tensor])[0], tensor)
    assert taken.tensors["0"].nbytes == tensor.nbytes


@pytest.mark.parametrize(
    "value",
    [
        np.float64(0.1), np.int32(-3), np.bool_(True), np.float16(2.5), np.complex64(1 + 2j),
        torch.Size([2, 3]), torch.float16, torch.device("cpu"), {1, 2}, Counter("aab"), b"\x00\xff",
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_rare_values_come_back(value: Any) -> None:
    assert identical(returned({"value": value}), {"value": value})


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own load
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.randn(2, dtype=torch.complex64).conj(),
        lambda: torch.randn(2, dtype=torch.complex128),
        lambda: torch._neg_view(torch.ones(3)),
    ],
    ids=["sparse", "conjugated", "complex", "negated"],
)
def test_rare_tensors_come_back(make: Callable[[], Tensor]) -> None:
    tensor = make()
    (back,) = returned([tensor])
    assert (back.dtype, back.layout) == (tensor.dtype, tensor.layout)
    assert torch.equal(back.to_dense(), tensor.to_dense())


# What is not plain ---------------------------------------------------------------------


class Phase(IntEnum):
    WARM = 1


Pair = namedtuple("Pair", "a b")


class Custom:
    """As a user's state_dict might hold."""


@pytest.mark.parametrize(
    "value", [Phase.WARM, Pair(1, 2), Custom(), defaultdict(int), np.zeros(2), lambda: 1]
)
def test_what_could_run_code_is_refused_when_saving_by_its_path(value: Any) -> None:
    with pytest.raises(TrainingError, match=r"`parts.mine.3.x` cannot be saved, a .*plain values"):
        encode({"parts": {"mine": {3: {"x": value}}}}, Taken())
