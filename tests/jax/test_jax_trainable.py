"""What users hold: checked when made, and able to travel."""

from typing import Any

import cloudpickle
import numpy as np
import pytest
from populations import DESCENT, check, evaluate, init, setting, step

from heredity.errors import UsageError
from heredity.jax import VectorTrainable, batches


def test_it_travels_with_its_functions_and_data() -> None:
    functions = VectorTrainable(init, step, evaluate, data=batches(np.arange(6.0), 2))
    copy = cloudpickle.loads(cloudpickle.dumps(functions))
    check(copy)
    assert copy.data.batch_size == 2
    single = cloudpickle.loads(cloudpickle.dumps(DESCENT.single(setting())))
    assert callable(single().run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": None}, "step is a function, not None"),
        ({"inherit": 3}, r"inherit\(own, donor\) → state, not 3"),
        ({"data": [1, 2]}, "not list"),
    ],
)
def test_what_is_no_function_is_refused_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        VectorTrainable(**{"init": init, "step": step, "evaluate": evaluate} | changes)
