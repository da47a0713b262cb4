"""Where a population lies: its rows on one device, or in equal shares on several.

Compiles functions of rows so that each device computes its own. This file knows nothing of what is
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from heredity.errors import UsageError

AXIS = "members"

Role = Literal["rows", "all"]
"""Of an argument or a result: one entry a row, where the row is; or the same on all devices."""

_SPECS: dict[Role, PartitionSpec] = {"rows": PartitionSpec(AXIS), "all": PartitionSpec()}


@dataclass(frozen=True)
class Placement:
    """A population's place.

    Attributes:
        devices: each holds `local` consecutive rows.
        population: rows in all.
    """

    devices: tuple[Any, ...]
    population: int

    def __post_init__(self) -> None:
        if self.population % len(self.devices):
            raise UsageError(
                f"a population of {self.population} cannot be shared equally by "
                f"{len(self.devices)} devices: choose a multiple, or fewer `devices`"
            )

    @property
    def local(self) -> int:
        """Rows on each device."""
        return self.population // len(self.devices)

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (AXIS,))

    def put(self, tree: Any, role: Role) -> Any:
        """The arrays on the devices."""
        return jax.device_put(tree, NamedSharding(self._mesh, _SPECS[role]))

    @cached_property
    def _shared(self) -> dict[Any, tuple[Any, Any]]:
        """What was shared, and where it is now, by what it is."""
        return {}

    def share(self, tree: Any) -> Any:
        """The arrays on the devices, once however often they come: data, and what functions refer
        to. NumPy arrays are known by their content, arrays of JAX by themselves."""
        return jax.tree.map(self._share_one, tree)

    def _share_one(self, array: Any) -> Any:
        if not isinstance(array, jax.Array):
            array = np.asarray(array, jax.dtypes.canonicalize_dtype(array.dtype))
        key = id(array) if isinstance(array, jax.Array) else _content(array)
        if key not in self._shared:
            # an array that is known by its identity must live as long
            known = array if isinstance(array, jax.Array) else None
            self._shared[key] = known, self.put(array, "all")
        return self._shared[key][1]

    def release(self) -> None:
        """Let go of what is shared."""
        self._shared.clear()

    def first_row(self) -> Any:
        """The first row on this device, while computing."""
        return jax.lax.axis_index(AXIS) * self.local if len(self.devices) > 1 else 0

    def given_by_one(self, value: Any, mine: Any) -> Any:
        """Each entry of `value` as the only device has it where `mine`, bit for bit, on all."""
        if len(self.devices) == 1:
            return value
        bits = _bits(value)
        mine = mine.reshape(mine.shape + (1,) * (bits.ndim - mine.ndim))
        summed = jax.lax.psum(jnp.where(mine, bits, jnp.zeros_like(bits)), AXIS)
        return _from_bits(summed, value.dtype)

    def compile(
        self,
        function: Callable[..., Any],
        arguments: Sequence[tuple[Role, Any]],
        results: Sequence[Role],
        *,
        donate: int | None = None,
    ) -> Program:
        """Compile what every device computes on its share.

        Arrays that the function holds on to become arguments: a frozen network or a data set exists
        once on each device for all that is compiled, and is no constant that the compiler would
        copy or fold.

        Args:
            function: traced with each device's share of the arguments.
            arguments: their roles, and all of each: arrays or their shapes.
            results: their roles.
            donate: the argument whose memory the results may take.
        """
        roles = [role for role, _ in arguments]
        shares = [self._shapes(tree, self._share(role)) for role, tree in arguments]
        closed, shape = jax.make_jaxpr(
            function, axis_env=[(AXIS, len(self.devices))], return_shape=True
        )(*shares)
        treedef = jax.tree.structure(shape)

        def share(held: Any, *arguments: Any) -> Any:
            flat = jax.tree.leaves(arguments)
            return jax.tree.unflatten(treedef, jax.core.eval_jaxpr(closed.jaxpr, held, *flat))

        specs = tuple(_SPECS[role] for role in results)
        whole = jax.shard_map(
            share,
            mesh=self._mesh,
            in_specs=(PartitionSpec(), *(_SPECS[role] for role in roles)),
            out_specs=specs if len(specs) > 1 else specs[0],
            check_vma=False,
        )
        held = self.share(list(closed.consts))
        shapes = [self._placed(tree, role) for role, tree in arguments]
        jitted = jax.jit(whole, donate_argnums=() if donate is None else (donate + 1,))
        return Program(jitted.lower(held, *shapes).compile(), held)

    def _share(self, role: Role) -> int:
        return len(self.devices) if role == "rows" else 1

    def _shapes(self, tree: Any, parts: int) -> Any:
        def shape(array: Any) -> Any:
            first = array.shape[:1] if parts == 1 else (array.shape[0] // parts,)
            return jax.ShapeDtypeStruct((*first, *array.shape[1:]), array.dtype)

        return jax.tree.map(shape, tree)

    def _placed(self, tree: Any, role: Role) -> Any:
        sharding = NamedSharding(self._mesh, _SPECS[role])
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree
        )


@dataclass(frozen=True)
class Program:
    """A compiled function with the arrays that it holds on to.

    Small arguments are given as NumPy arrays: a call brings them to the devices in a tenth of the
    time that `device_put` takes.
    """

    compiled: Any
    held: list[Any]

    def __call__(self, *arguments: Any) -> Any:
        with jax.transfer_guard_host_to_device("allow"):
            return self.compiled(self.held, *arguments)

    @property
    def size_bytes(self) -> int | None:
        """Memory that a call takes on each device, arguments included; None if unknown."""
        memory = self.compiled.memory_analysis()
        if memory is None:
            return None
        return int(
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            - memory.alias_size_in_bytes
            + memory.temp_size_in_bytes
        )


def divisors(number: int) -> list[int]:
    """All divisors, from the largest."""
    return [d for d in range(number, 0, -1) if number % d == 0]


def _content(array: NDArray[Any]) -> Any:
    """Equal for arrays of the same bits only."""
    words = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return array.dtype, array.shape, blake2b(words.data, digest_size=16).digest()


def _bits(value: Any) -> Any:
    """The same bits as whole numbers, whose sum with zeros is exact: −0 + 0 is 0 in floats."""
    if value.dtype == jnp.bool_:
        return value.astype(jnp.uint8)
    if jnp.iscomplexobj(value):
        return jnp.stack([_bits(value.real), _bits(value.imag)], axis=-1)
    if jnp.issubdtype(value.dtype, jnp.inexact):
        return jax.lax.bitcast_convert_type(value, f"uint{8 * value.dtype.itemsize}")
    return value


def _from_bits(bits: Any, dtype: Any) -> Any:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real = np.empty(0, dtype).real.dtype
        return jax.lax.complex(*(_from_bits(bits[..., i], real) for i in range(2)))
    if jnp.issubdtype(dtype, jnp.inexact):
        return jax.lax.bitcast_convert_type(bits, dtype)
    return bits.astype(dtype)
