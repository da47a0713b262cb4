"""What cannot be data is refused where it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from vector_toys import classifier

from heredity.errors import UsageError
from heredity.torch import VectorTrainable, batches, stream

VALUES = torch.arange(23)


@pytest.mark.parametrize(
    ("arrays", "size", "message"),
    [
        ((VALUES, VALUES[:-1]), 5, "equal length, not 23 and 22"),
        ((VALUES,), 24, "batch_size=24 is more than the 23 examples"),
        ((VALUES,), 0, "batch_size is a whole number of at least 1, not 0"),
        ((VALUES,), 2.5, "not 2.5"),
        ([1, 2, 3], 1, "NumPy arrays and tensors"),
        (([0.5, 1.5], VALUES), 1, r"not numbers such as 0.5: .* list of them by torch.as_tensor"),
        ((), 1, "needs arrays"),
        ((VALUES[:0],), 1, "without examples"),
    ],
)
def test_arrays_that_make_no_batches_are_refused(arrays: Any, size: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        batches(arrays, size)


@pytest.mark.parametrize("given", [iter([1]), [(1, 2)], 5], ids=["iterator", "list", "number"])
def test_a_stream_is_a_function_that_makes_an_iterator(given: Any) -> None:
    with pytest.raises(UsageError, match="function from a step to an iterator, not"):
        stream(given)


@pytest.mark.parametrize("given", [np.ones(3), (VALUES, VALUES), lambda step: iter(())])
def test_data_of_another_kind_are_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"data is heredity.torch.batches\(.*stream\(.*, not"):
        classifier(data=given)
    with pytest.raises(UsageError, match="data is"):
        VectorTrainable.of(lambda h: VALUES, lambda s, h, b: s, lambda s, h: s.sum(), given)
