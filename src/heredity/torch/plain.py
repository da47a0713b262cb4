"""Nested values as JSON, with their tensors apart by name: what a saved state is made of.

JSON's own values stand for themselves, and an object for a dict with texts as keys. All else is an
array that starts with its tag: `["tuple", …]`, `["tensor", name]`. So values come back with their
types. This file knows nothing of files.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from heredity.errors import TrainingError

FORMAT_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip
"""The dtypes of tensors that are stored as they are, with their names in safetensors files."""

_JSON = frozenset({type(None), bool, int, float, str})
_NUMPY_KINDS = "biufc"


class Taken:
    """The tensors that were taken out of nested values, not copied.

    Attributes:
        tensors: by their paths in the values; tied ones once.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def keep(self, tensor: Tensor, path: str) -> str:
        """The name of a tensor, which is kept unless the same memory has a name already."""
        memory = (
            tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()
        )  # fmt: skip
        if memory not in self._names:
            self._names[memory] = name = self._free(path)
            self.tensors[name] = tensor
        return self._names[memory]

    def _free(self, path: str) -> str:
        """The path, marked if another value has it: {"a.b": 1} and {"a": {"b": 1}}."""
        while path in self.tensors or path == "__metadata__":
            path += "'"
        return path


# Taking apart --------------------------------------------------------------------------


def encode(value: Any, taken: Taken, path: str = "") -> Any:
    """The value as JSON, its tensors going to `taken`.

    Raises `TrainingError` for what could not be read back without running code.
    """
    kind = type(value)
    if kind in _JSON:
        return value
    if (encoder := _ENCODERS.get(kind)) is not None:
        return encoder(value, taken, path)
    if isinstance(value, np.generic) and value.dtype.kind in _NUMPY_KINDS:
        return ["numpy", value.dtype.str, value.tobytes().hex()]
    return _encode_rare(value, taken, path)


def _encode_dict(value: Mapping[Any, Any], taken: Taken, path: str) -> Any:
    path = path and f"{path}."
    if all(type(key) is str for key in value):
        return {key: encode(item, taken, f"{path}{key}") for key, item in value.items()}
    pairs = [
        [encode(key, taken, f"{path}{key!s}.key"), encode(item, taken, f"{path}{key!s}")]
        for key, item in value.items()
    ]
    return ["dict", pairs]


def _encode_ordered(value: OrderedDict[Any, Any], taken: Taken, path: str) -> Any:
    """Modules put the versions of their parts into an attribute of their `state_dict`."""
    return ["ordered", _encode_dict(value, taken, path), encode(vars(value), taken, f"{path}.vars")]


def _encode_items(value: list[Any] | tuple[Any, ...], taken: Taken, path: str) -> Any:
    path = path and f"{path}."
    items = [encode(item, taken, f"{path}{number}") for number, item in enumerate(value)]
    return [type(value).__name__, *items]


def _encode_tensor(value: Tensor, taken: Taken, path: str) -> Any:
    if not _is_ordinary(value):
        return _encode_rare(value, taken, path)
    reference: Any = ["tensor", taken.keep(value.detach(), path)]
    if not value.is_contiguous() and (order := _memory_order(value)):
        reference = ["laid_out", reference, order]
    return ["requires_grad", reference] if value.requires_grad else reference


def _encode_parameter(value: Parameter, taken: Taken, path: str) -> Any:
    return ["parameter", encode(value.detach(), taken, path), value.requires_grad]


def _encode_bytes(value: bytes, taken: Taken, path: str) -> Any:
    return ["bytes", value.hex()]


def _encode_rare(value: Any, taken: Taken, path: str) -> Any:
    """A few types more, such as sparse tensors and sets, by torch's own restricted pickle."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        _load_rare(buffer, "cpu")
    except (pickle.PickleError, AttributeError, TypeError):
        raise TrainingError(
            f"`{path}` cannot be saved, a {type(value).__module__}.{type(value).__qualname__}: "
            "only tensors and plain values are, because loading others could run code. "
            "If a state_dict of yours returns it, turn it into such values there"
        ) from None
    return ["torch", taken.keep(torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8), path)]


def _is_ordinary(tensor: Tensor) -> bool:
    """Whether a tensor is its elements in memory, of a dtype that safetensors files know."""
    return (
        tensor.dtype in FORMAT_DTYPES
        and tensor.layout == torch.strided
        and not tensor.is_meta
        and not tensor.is_neg()
    )


def _memory_order(tensor: Tensor) -> list[int] | None:
    """The dimensions from the widest stride to the narrowest, if that order has no gaps."""
    stride = tensor.stride()
    order = sorted(range(tensor.ndim), key=lambda dimension: -stride[dimension])
    return order if tensor.permute(order).is_contiguous() else None


_ENCODERS: dict[type, Callable[[Any, Taken, str], Any]] = {
    bytes: _encode_bytes,
    dict: _encode_dict,
    OrderedDict: _encode_ordered,
    list: _encode_items,
    tuple: _encode_items,
    Tensor: _encode_tensor,
    Parameter: _encode_parameter,
}


# Putting together ----------------------------------------------------------------------


def decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `encode` was given, of its JSON and the tensors by name."""
    if isinstance(value, dict):
        return {key: decode(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        tag, *parts = value
        return _DECODERS[tag](parts, tensors)
    return value


def _decode_dict(parts: list[Any], tensors: Mapping[str, Tensor]) -> dict[Any, Any]:
    return {decode(key, tensors): decode(item, tensors) for key, item in parts[0]}


def _decode_ordered(parts: list[Any], tensors: Mapping[str, Tensor]) -> OrderedDict[Any, Any]:
    items, attributes = (decode(part, tensors) for part in parts)
    ordered = OrderedDict(items)
    vars(ordered).update(attributes)
    return ordered


def _each(parts: list[Any], tensors: Mapping[str, Tensor]) -> Iterator[Any]:
    return (decode(part, tensors) for part in parts)


def _decode_laid_out(parts: list[Any], tensors: Mapping[str, Tensor]) -> Tensor:
    """Channels last and the like: an optimizer is fastest if its state lies as its weights do."""
    tensor, order = decode(parts[0], tensors), parts[1]
    empty = torch.empty_permuted(tensor.shape, order, dtype=tensor.dtype, device=tensor.device)
    return empty.copy_(tensor)


def _decode_numpy(parts: list[Any], tensors: Mapping[str, Tensor]) -> Any:
    dtype, digits = parts
    return np.frombuffer(bytes.fromhex(digits), dtype)[0]


def _decode_rare(parts: list[Any], tensors: Mapping[str, Tensor]) -> Any:
    blob = tensors[parts[0]]
    return _load_rare(io.BytesIO(blob.cpu().numpy().tobytes()), str(blob.device))


def _load_rare(buffer: io.BytesIO, device: str) -> Any:
    buffer.seek(0)
    return torch.load(buffer, map_location=device, weights_only=True)


_DECODERS: dict[str, Callable[[list[Any], Mapping[str, Tensor]], Any]] = {
    "bytes": lambda parts, tensors: bytes.fromhex(parts[0]),
    "dict": _decode_dict,
    "ordered": _decode_ordered,
    "list": lambda parts, tensors: list(_each(parts, tensors)),
    "tuple": lambda parts, tensors: tuple(_each(parts, tensors)),
    "tensor": lambda parts, tensors: tensors[parts[0]],
    "laid_out": _decode_laid_out,
    "requires_grad": lambda parts, tensors: decode(parts[0], tensors).detach().requires_grad_(),
    "parameter": lambda parts, tensors: Parameter(decode(parts[0], tensors), parts[1]),
    "numpy": _decode_numpy,
    "torch": _decode_rare,
}
