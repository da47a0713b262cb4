"""What users hold: checked when made, and able to travel."""

from functools import partial
from typing import Any

import cloudpickle
import jax
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
        ({"step": None}, r"step is a function like step\(state, hparams, batch, key\), not None"),
        ({"inherit": 3}, r"inherit is a function like inherit\(own, donor\), not 3"),
        (
            {"step": lambda state, batch: state},
            r"step is called as step\(state, hparams, batch, key\), but it takes \(state, batch\)",
        ),
        ({"data": [1, 2]}, "not list"),
    ],
)
def test_what_is_no_function_is_refused_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        VectorTrainable(**{"init": init, "step": step, "evaluate": evaluate} | changes)


def test_functions_may_take_their_arguments_in_any_way() -> None:
    VectorTrainable(lambda *a: init(*a), partial(step), lambda s, h, key=None: evaluate(s, h, key))
    VectorTrainable(jax.jit(init), step, evaluate, inherit=max)  # a built-in one does not tell
