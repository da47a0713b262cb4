"""`heredity.torch`: Trainables for PyTorch."""

import importlib
from typing import TYPE_CHECKING, Any

from heredity.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401  # asked first, for a message that names the remedy
except ImportError as error:
    raise MissingExtra("torch", "heredity.torch", "PyTorch") from error

from heredity.torch.trainable import Trainable

if TYPE_CHECKING:
    from heredity.torch.vector.data import batches, stream
    from heredity.torch.vector.optimizers import SGD, Adam, AdamW, RMSprop
    from heredity.torch.vector.trainable import VectorTrainable

__all__ = ["SGD", "Adam", "AdamW", "RMSprop", "Trainable", "VectorTrainable", "batches", "stream"]

# Loaded when first used: workers of single members do without.
_HOMES = {
    "SGD": "heredity.torch.vector.optimizers",
    "Adam": "heredity.torch.vector.optimizers",
    "AdamW": "heredity.torch.vector.optimizers",
    "RMSprop": "heredity.torch.vector.optimizers",
    "VectorTrainable": "heredity.torch.vector.trainable",
    "batches": "heredity.torch.vector.data",
    "stream": "heredity.torch.vector.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'heredity.torch' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
