"""Trees of tensors and plain values, and what it means that they are the same."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from heredity.torch.plain import FORMAT_DTYPES


def identical(left: Any, right: Any) -> bool:
    """Equal in value and in type all the way down; tensors in every bit and in their layout."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Tensor):
        return _form(left) == _form(right) and torch.equal(_bits(left), _bits(right))
    if isinstance(left, dict):
        return identical(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(identical, left, right))
    return repr(left) == repr(right)  # tells 0.0 from -0.0, and finds NaN equal to itself


def _form(tensor: Tensor) -> tuple[Any, ...]:
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    layout = [stride for length, stride in strides if length > 1] if tensor.numel() else []
    return tensor.dtype, tensor.shape, layout, tensor.requires_grad


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


shapes = st.lists(st.integers(0, 3), max_size=4)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype, shape = draw(st.sampled_from(list(FORMAT_DTYPES))), draw(shapes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    high = 2 if dtype == torch.bool else 256
    bits = torch.randint(0, high, (size,), generator=generator, dtype=torch.uint8)
    tensor = bits.view(dtype).reshape(shape)
    return tensor.permute(draw(st.permutations(range(tensor.ndim)))).clone()


plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8)
    | st.complex_numbers()
)  # fmt: skip
keys = st.text(max_size=3) | st.integers() | st.booleans() | st.tuples(st.integers(), st.text())


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    dicts = st.dictionaries(keys, inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner)
    return lists | lists.map(tuple) | dicts | dicts.map(OrderedDict)


trees = st.recursive(plain | tensors(), _nested, max_leaves=12)
