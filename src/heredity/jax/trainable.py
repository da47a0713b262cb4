"""The VectorTrainable of JAX: what a user writes for one member, trained as a whole population.

This file is what users hold; it knows nothing of how a population is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from heredity.jax.data import as_feed
from heredity.jax.words import require_takes

if TYPE_CHECKING:
    from heredity.executors.program import Setting
    from heredity.jax.program import JaxProgram
    from heredity.trainables.trainable import Trainable


@dataclass(frozen=True, eq=False)
class VectorTrainable:
    """Pure functions for one member; `heredity` trains all members with them at once.

        def init(key, hparams): ...                 # → state: any pytree of arrays
        def step(state, hparams, batch, key): ...   # → state, or (state, {"loss": …})
        def evaluate(state, hparams, key): ...      # → a number, or {"accuracy": …}

    Hparams are traced values: compute with them, `optax.adam(hparams["lr"])` inside `step`. A
    categorical one is the index of its choice, for `jax.lax.switch`; a constant is a plain value.
    `key` is another one for every member, turn and step: nothing random belongs in the state.
    Arrays that the functions refer to (a frozen network, a data set) exist once for all members.

    Attributes:
        init: makes a member's state.
        step: trains it one step. Metrics are averaged over the interval.
        evaluate: measures it.
        data: `batches(arrays, batch_size)` or `stream(make_iterator)`; by default `batch` is None.
        inherit: `inherit(own, donor) → state` for what must not be copied, such as an environment's
            state; by default all of the donor's is.
    """

    init: Callable[[Any, Any], Any]
    step: Callable[[Any, Any, Any, Any], Any]
    evaluate: Callable[[Any, Any, Any], Any]
    data: Any = None
    inherit: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        for name, arguments in _ARGUMENTS.items():
            function = getattr(self, name)
            if function is not None or name != "inherit":
                require_takes(name, function, arguments)
        as_feed(self.data)

    def program(
        self, chunk: int | Literal["auto"] = "auto", devices: int | None = None
    ) -> JaxProgram:
        """The population's program; see `VectorProgram`.

        Args:
            chunk: members that train at once on each device, or fewer if the members there are no
                multiple of it. "auto" is as many as have room; on a CPU, as many as its cache
                holds, if it holds two or more. A study keeps the chunk that it began with.
            devices: how many devices share the population equally; by default one.
        """
        from heredity.jax.program import JaxProgram

        return JaxProgram(self, chunk, devices)

    def single(self, setting: Setting) -> Callable[[], Trainable]:
        """Makes an ordinary Trainable of the same functions, one member each.

        It draws from the same keys as the member of a population would, so a study can be compared
        between one program and processes.
        """
        from functools import partial

        from heredity.jax.single import SingleTrainable

        return partial(SingleTrainable, self, setting)


_ARGUMENTS = {
    "init": ("key", "hparams"),
    "step": ("state", "hparams", "batch", "key"),
    "evaluate": ("state", "hparams", "key"),
    "inherit": ("own", "donor"),
}
