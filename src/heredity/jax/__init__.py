"""`heredity.jax`: a whole population of JAX programs trained as one."""

from heredity.errors import MissingExtra

try:
    import jax as _jax  # noqa: F401  # asked first, for a message that names the remedy
    import safetensors as _safetensors  # noqa: F401
except ImportError as error:
    raise MissingExtra("jax", "heredity.jax", error.name) from error

from heredity.jax.data import batches, stream
from heredity.jax.trainable import VectorTrainable

__all__ = ["VectorTrainable", "batches", "stream"]
