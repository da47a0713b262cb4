"""One file of tensors and plain values, read without ever running code from it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from heredity.errors import TrainingError


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values."""
    torch.save(state, path)


def read_state(path: Path, device: str) -> dict[str, Any]:
    """Read what `write_state` wrote, tensors going to `device`."""
    if not path.is_file():
        raise TrainingError(f"there is no {path.name} in the checkpoint {path.parent}")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"{path} holds something else than tensors and plain values, which is never loaded "
            f"because it could run code. A state_dict of yours returns it: {error!s:.300}"
        ) from None
    return state
