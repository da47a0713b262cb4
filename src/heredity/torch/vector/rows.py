"""The file of a population: every tensor of the state stacked over the rows, the best row last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heredity.errors import NotFound, TrainingError
from heredity.torch.vector.tree import Flat

ROWS_FILE = "rows.safetensors"


@dataclass(frozen=True)
class StackedRows:
    """A population's state on the host. Tensors have one row a member, and one more for the best,
    which says nothing as long as `has_best` is false."""

    state: Flat
    has_best: bool

    def write(self, directory: Path) -> None:
        """Write one file, `rows.safetensors`."""
        from safetensors.torch import save_file

        metadata = {"format": "1", "best": "yes" if self.has_best else "no"}
        save_file(_named(self.state), directory / ROWS_FILE, metadata)


def stacked_on_host(state: Flat, best: Mapping[str, Tensor] | None) -> StackedRows:
    """Copy a state and its best row to the host."""
    copied = {}
    for path, leaf in state.items():
        host = torch.zeros((len(leaf) + 1, *leaf.shape[1:]), dtype=leaf.dtype)
        host[:-1].copy_(leaf)
        if best is not None:
            host[-1].copy_(best[path])
        copied[path] = host
    return StackedRows(copied, best is not None)


def read_rows(directory: Path, device: torch.device) -> StackedRows:
    """Read all rows."""
    with _opened(directory, str(device)) as file:
        state = {_path(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return StackedRows(state, file.metadata()["best"] == "yes")


def read_row(directory: Path, row: int, device: torch.device) -> Flat:
    """Read one row without the others; -1 is the best."""
    with _opened(directory, str(device)) as file:
        if row == -1 and file.metadata()["best"] != "yes":
            raise NotFound(f"no best member was kept in {directory}")
        return {_path(name): _row(file.get_slice(name), row) for name in file.keys()}  # noqa: SIM118


def _row(stacked: Any, row: int) -> Tensor:
    last = stacked.get_shape()[0] - 1
    if not -1 <= row < last:
        raise NotFound(f"there is no row {row} among {last}")
    row = last if row == -1 else row
    tensor: Tensor = stacked[row : row + 1][0]
    return tensor.clone()


def _opened(directory: Path, device: str) -> Any:
    from safetensors import SafetensorError, safe_open

    path = directory / ROWS_FILE
    if not path.is_file():
        raise TrainingError(f"there is no {ROWS_FILE} in the checkpoint {directory}")
    try:
        return safe_open(path, framework="pt", device=device)
    except SafetensorError as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error


_BARE = "state"
"""The name in the file of a state that is a single tensor."""


def _named(state: Flat) -> Flat:
    return {path or _BARE: leaf for path, leaf in state.items()} if "" in state else state


def _path(name: str) -> str:
    return "" if name == _BARE else name


def check_same_form(saved: Flat, expected: Flat) -> None:
    """Raise `TrainingError` unless a saved state has the tensors of the one that is expected."""
    for path in sorted(saved.keys() ^ expected.keys()):
        where = "the checkpoint lacks" if path in expected else "only the checkpoint has"
        raise TrainingError(f"{where} `{path}`: the functions must build the state it was saved of")
    for path, leaf in saved.items():
        seen, wanted = _form(leaf), _form(expected[path])
        if seen != wanted:
            raise TrainingError(f"`{path}` is {seen} in the checkpoint, but {wanted} here")


def _form(leaf: Tensor) -> str:
    return f"{leaf.dtype} of shape {tuple(leaf.shape[1:])}"
