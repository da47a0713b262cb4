"""`heredity.torch`: Trainables for PyTorch."""

from heredity.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401  # asked first, for a message that names the remedy
except ImportError as error:
    raise MissingExtra("torch", "heredity.torch", "PyTorch") from error

from heredity.torch.trainable import Trainable

__all__ = ["Trainable"]
