"""One file of tensors and plain values, read without ever running code from it.

It is a safetensors file: tensors under their paths, `parts.net.0.weight`, and the values around
them as JSON in its metadata. Tensors go to and from the file one at a time, so a large state is
never held twice on the host. `torch.save` and `torch.load` take several times as long for a small
one.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heredity.errors import TrainingError
from heredity.torch.plain import FORMAT_DTYPES, Taken, decode, encode

VERSION = 1

_DTYPES = {name: dtype for dtype, name in FORMAT_DTYPES.items()}

_UNKNOWN_TO_NUMPY = {
    torch.bfloat16: torch.int16,
    torch.float8_e4m3fn: torch.uint8,
    torch.float8_e5m2: torch.uint8,
}
"""Dtypes with no equal in NumPy, and one of their size to see their bytes as."""

_LENGTH_BYTES = 8


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors and plain values.

    Raises `TrainingError`, and writes nothing, if there is anything else in them.
    """
    taken = Taken()
    facts = json.dumps({"format": VERSION, "state": encode(state, taken)})
    tensors = _by_alignment(taken.tensors)
    with path.open("wb") as file:
        file.write(_header(tensors, facts))
        for tensor in tensors.values():
            file.write(_seen_by_numpy(tensor.cpu().contiguous()))


def _by_alignment(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Largest elements first, as readers that map the file into memory need it."""
    return dict(sorted(tensors.items(), key=lambda named: -named[1].itemsize))


def _header(tensors: Mapping[str, Tensor], facts: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"heredity": facts}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": FORMAT_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _seen_by_numpy(tensor: Tensor) -> Any:
    """The tensor's memory as an array of its bytes' size, to write or to fill."""
    seen = _UNKNOWN_TO_NUMPY.get(tensor.dtype)
    return (tensor if seen is None else tensor.view(seen)).numpy()


def read_state(path: Path, device: str) -> dict[str, Any]:
    """Read what `write_state` wrote, tensors going to `device`."""
    if not path.is_file():
        raise TrainingError(f"there is no {path.name} in the checkpoint {path.parent}")
    try:
        with path.open("rb") as file:
            entries = _entries(file, path.stat().st_size)
            facts = _facts(entries.pop("__metadata__"))
            tensors = {name: tensor.to(device) for name, tensor in _tensors(file, entries)}
        state: dict[str, Any] = decode(facts["state"], tensors)
    except (ValueError, TypeError, LookupError, AttributeError, pickle.PickleError) as error:
        raise TrainingError(
            f"{path} is not a file of tensors and plain values as save() writes it; anything else "
            f"is never loaded because it could run code ({type(error).__name__}: {error!s:.200})"
        ) from None
    return state


def _entries(file: BufferedReader, size_bytes: int) -> dict[str, Any]:
    """The header: what is where. Raises if it does not describe exactly the file that it is in."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    left = size_bytes - _LENGTH_BYTES - length
    if left < 0:
        raise ValueError("it does not begin with the length of a header")
    entries: dict[str, Any] = json.loads(file.read(length))
    described = sum(_size_bytes(entries[name]) for name in entries if name != "__metadata__")
    if described != left:
        raise ValueError(f"it has {left} bytes of tensors, but describes {described}")
    return entries


def _facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(metadata["heredity"])
    if facts["format"] != VERSION:
        raise ValueError(f"its format is {facts['format']}, and only {VERSION} is known here")
    return facts


def _size_bytes(entry: Mapping[str, Any]) -> int:
    shape = entry["shape"]
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"a tensor cannot have the shape {shape}")
    return int(math.prod(shape)) * _DTYPES[entry["dtype"]].itemsize


def _tensors(file: BufferedReader, entries: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The tensors in the order of the file, which is that of the header."""
    at = 0
    for name, entry in entries.items():
        tensor = torch.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
        if entry["data_offsets"] != [at, at + tensor.nbytes]:
            raise ValueError(f"`{name}` is not where the tensor before it ends")
        at += tensor.nbytes
        if file.readinto(_seen_by_numpy(tensor)) != tensor.nbytes:
            raise ValueError(f"it ends within `{name}`")
        yield name, tensor
