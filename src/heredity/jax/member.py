"""The user's functions for one member, on flat lists of arrays instead of the user's pytrees.

Everything above trains populations of these and knows no pytree; this file knows no population.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from heredity.errors import UsageError
from heredity.jax.hparams import Hparams, Values
from heredity.jax.layout import Arrays, Layout
from heredity.jax.words import described

if TYPE_CHECKING:
    from heredity.jax.trainable import VectorTrainable

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One member's functions.

    Attributes:
        functions: as the user wrote them.
        hparams: the declared ones.
        metric: the objective's name, for an `evaluate` that returns a bare number.
        layout: of the state.
    """

    functions: VectorTrainable
    hparams: Hparams
    metric: str
    layout: Layout

    def init(self, key: Any, values: Values) -> Arrays:
        """A fresh state."""
        return self.layout.pack(self.functions.init(key, self.hparams.given(values)), "init")

    def step(self, state: Arrays, values: Values, batch: Any, key: Any) -> tuple[Arrays, Metrics]:
        """The state after one step, and what the step measured."""
        tree, metrics = self.stepped(state, values, batch, key)
        return self.layout.pack(tree, "step"), as_numbers(metrics, "step")

    def stepped(
        self, state: Arrays, values: Values, batch: Any, key: Any
    ) -> tuple[Any, Mapping[Any, Any]]:
        """What `step` returned: the state in the user's own structure, and its metrics."""
        tree = self.layout.unpack(state)
        return _parted(self.functions.step(tree, self.hparams.given(values), batch, key), tree)

    def evaluate(self, state: Arrays, values: Values, key: Any) -> Metrics:
        """The metrics of a state, the objective among them."""
        tree = self.layout.unpack(state)
        returned = self.functions.evaluate(tree, self.hparams.given(values), key)
        named = returned if isinstance(returned, Mapping) else {self.metric: returned}
        return as_numbers(named, "evaluate")

    @property
    def inherits_all(self) -> bool:
        """Whether a take-over copies the donor as it is."""
        return self.functions.inherit is None

    def inherit(self, own: Arrays, donor: Arrays) -> Arrays:
        """The state of a member that takes over a donor's."""
        inherit: Callable[[Any, Any], Any] | None = self.functions.inherit
        if inherit is None:
            return donor
        merged = inherit(self.layout.unpack(own), self.layout.unpack(donor))
        return self.layout.pack(merged, "inherit")


def _parted(returned: Any, state: Any) -> tuple[Any, Mapping[Any, Any]]:
    """The state, and the metrics if there are any: a state may be such a pair as well."""
    before: Any = jax.tree.structure(state)
    if not _is_pair(returned) or jax.tree.structure(returned) == before:
        return returned, {}
    if _is_pair(state) and not _is_pair(returned[0]):
        return returned, {}  # a state, though not as it was
    return returned[0], returned[1]


def _is_pair(tree: Any) -> bool:
    """Whether this could be a state with its metrics."""
    return isinstance(tree, tuple) and len(tree) == 2 and isinstance(tree[1], Mapping)


def as_numbers(metrics: Mapping[Any, Any], maker: str) -> Metrics:
    """Named scalars in the default float dtype; `UsageError` for anything else."""
    real = jax.dtypes.canonicalize_dtype(float)
    return {str(name): _number(str(name), m, maker).astype(real) for name, m in metrics.items()}


def _number(name: str, value: Any, maker: str) -> Any:
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"{maker} must return numbers as metrics, but `{name}` is {described(value)}"
        ) from None
    if array.shape:
        shape = ", ".join(map(str, array.shape))
        raise UsageError(
            f"{maker} must return one number as `{name}`, not an array of shape ({shape}): reduce "
            "it, for example with .mean()"
        )
    if jnp.iscomplexobj(array):
        raise UsageError(f"{maker} must return a real number as `{name}`, not a complex one")
    return array
