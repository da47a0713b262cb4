"""The generators that user code draws from while members start: seeded for one, then given back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def borrowed(device: torch.device | None = None) -> Iterator[None]:
    """Python's, NumPy's and torch's generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Borrowed, and seeded: what is drawn within depends on the seed alone."""
    with borrowed(device):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # the global generator users draw from
        torch.manual_seed(seed)
        yield
