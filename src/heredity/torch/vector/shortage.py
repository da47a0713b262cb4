"""What it looks like when there is no more memory."""

from __future__ import annotations

import torch

_TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What torch says of it where it has no exception of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, had no more memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
