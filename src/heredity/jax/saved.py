"""Saved populations: one safetensors file of stacked rows, read whole or a row at a time.

Arrays are stored under their paths in the user's pytree. Reading runs no code: what the file says
is compared with what `init` makes. This file knows nothing of devices.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from heredity.errors import CheckpointError
from heredity.jax.layout import Arrays, Layout

FILE = "state.safetensors"

_PLAIN = frozenset("biuf")
"""Kinds of NumPy dtype that the file format knows under the same name."""


@dataclass(frozen=True)
class SavedRows:
    """A population's state on the host: `Rows` of the protocol.

    Attributes:
        layout: of one member.
        arrays: with the rows first, then those of the slots, the first slot's last.
        population: number of rows without the slots'.
        kept: the slots that hold a row. Below the last of them others may be empty.
    """

    layout: Layout
    arrays: Sequence[NDArray[Any]]
    population: int
    kept: tuple[int, ...] = ()

    def write(self, directory: Path) -> None:
        """Write `state.safetensors`. Making it durable and whole is the caller's."""
        facts = {
            "format": 1,
            "population": self.population,
            "kept": self.kept,
            "structure": str(self.layout.treedef),
            "arrays": _described(self.layout),
        }
        stacked = dict(zip(self.layout.names, map(_storable, self.arrays), strict=True))
        save_file(stacked, directory / FILE, {"heredity": json.dumps(facts)})


def stacked(rows: Sequence[Any], slots: Arrays, kept: Collection[int]) -> list[NDArray[Any]]:
    """Copies of device arrays on the host, with the slots' rows after the others.

    Copies even where the device is the host: the next round takes the arrays' memory.
    """
    wholes, slots = jax.device_get((list(rows), slots if kept else []))
    if not kept:
        return [np.array(array) for array in wholes]
    count = max(kept) + 1
    return [
        np.concatenate([whole, slot[:count][::-1]])
        for whole, slot in zip(wholes, slots, strict=True)
    ]


def names_in(directory: Path) -> tuple[str, ...]:
    """The names of the stacked arrays."""
    with _opened(directory) as file:
        return tuple(file.keys())


def read_rows(directory: Path, layout: Layout) -> SavedRows:
    """What was written."""
    with _opened(directory) as file:
        facts = _facts(file, directory, layout)
        arrays = [
            _restored(file.get_tensor(name), shape)
            for name, shape in zip(layout.names, layout.arrays, strict=True)
        ]
    return SavedRows(layout, arrays, facts["population"], tuple(facts["kept"]))


def read_row(directory: Path, layout: Layout, row: int) -> list[NDArray[Any]]:
    """The arrays of one row, −1 for that of the first slot; of the others nothing is read."""
    with _opened(directory) as file:
        facts = _facts(file, directory, layout)
        population, kept = facts["population"], facts["kept"]
        if -1 - row in kept:
            row += population + max(kept) + 1
        elif not 0 <= row < population:
            raise CheckpointError(f"{directory / FILE} has no row {row} of {population}")
        return [
            _restored(file.get_slice(name)[row : row + 1], shape)[0]
            for name, shape in zip(layout.names, layout.arrays, strict=True)
        ]


def _opened(directory: Path) -> Any:
    if not (path := directory / FILE).is_file():
        raise CheckpointError(f"there is no {FILE} in the checkpoint {directory}")
    return safe_open(path, framework="numpy")


def _facts(file: Any, directory: Path, layout: Layout) -> Any:
    facts = json.loads((file.metadata() or {}).get("heredity", "{}"))
    saved, now = facts.get("arrays"), _described(layout)
    if saved != now:
        raise CheckpointError(
            f"{directory / FILE} holds {_difference(saved or {}, now)}: was init changed since?"
        )
    return facts


def _described(layout: Layout) -> dict[str, Any]:
    return {
        name: [str(shape.dtype), list(shape.shape)]
        for name, shape in zip(layout.names, layout.arrays, strict=True)
    }


def _difference(saved: dict[str, Any], now: dict[str, Any]) -> str:
    for name in dict.fromkeys([*saved, *now]):
        if saved.get(name) != now.get(name):
            was, wanted = saved.get(name, "nothing"), now.get(name, "nothing")
            return f"{was} at {name} where init makes {wanted}"
    return "another state than init makes"


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or its bytes where the file format has no such dtype."""
    if array.dtype.kind in _PLAIN and array.dtype.isbuiltin:
        return array
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def _restored(array: NDArray[Any], shape: Any) -> NDArray[Any]:
    dtype = np.dtype(shape.dtype)
    array = array if array.dtype == dtype else np.ascontiguousarray(array).view(dtype)
    return array.reshape(len(array), *shape.shape)
