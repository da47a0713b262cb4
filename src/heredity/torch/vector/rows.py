"""The file of a population: every tensor of the state stacked over the rows: those of the members,
then the slots with rows that were kept, the first slot last."""

from __future__ import annotations

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
    """A population's state on the host. Tensors have one row a member, then `slots` more. Those of
    slots that are not among the `kept` say nothing."""

    state: Flat
    slots: int
    kept: frozenset[int]

    @property
    def members(self) -> int:
        """How many rows are members'."""
        return len(next(iter(self.state.values()))) - self.slots

    def write(self, directory: Path) -> None:
        """Write one file, `rows.safetensors`."""
        from safetensors.torch import save_file

        kept = " ".join(map(str, sorted(self.kept)))
        metadata = {"format": "1", "slots": str(self.slots), "kept": kept}
        save_file(_named(self.state), directory / ROWS_FILE, metadata)


def read_rows(directory: Path) -> StackedRows:
    """Read all rows, to the host: a device may have no room for them twice."""
    with _opened(directory, "cpu") as file:
        state = {_path(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return StackedRows(state, *_slots(file))


def _slots(file: Any) -> tuple[int, frozenset[int]]:
    """How many slots there are, and which hold a row."""
    metadata = file.metadata()
    return int(metadata["slots"]), frozenset(map(int, metadata["kept"].split()))


def read_row(directory: Path, row: int, device: torch.device) -> Flat:
    """Read one row without the others; -1 is the first slot, -2 the second."""
    with _opened(directory, str(device)) as file:
        slots, kept = _slots(file)
        if row < 0 and -1 - row not in kept:
            raise NotFound(f"no best member was kept in slot {-1 - row} of {directory}")
        names = file.keys()
        return {_path(name): _row(file.get_slice(name), row, slots) for name in names}


def _row(stacked: Any, row: int, slots: int) -> Tensor:
    rows = stacked.get_shape()[0]
    if row >= rows - slots:
        raise NotFound(f"there is no row {row} among {rows - slots}")
    row %= rows
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


def take_back(saved: StackedRows, state: Flat, slots: int) -> None:
    """Copy saved rows into a state that has so many slots.

    Raises `TrainingError` unless both are of the same tensors and of as many members.
    """
    _check_same_form(saved.state, state)
    for path, leaf in state.items():
        members, source = len(leaf) - slots, saved.state[path]
        if members != saved.members:
            raise TrainingError(
                f"the checkpoint holds {saved.members} members, this study {members}"
            )
        leaf[:members].copy_(source[:members])
        common = min(slots, saved.slots)
        leaf[len(leaf) - common :].copy_(source[len(source) - common :])


def _check_same_form(saved: Flat, expected: Flat) -> None:
    for path in sorted(saved.keys() ^ expected.keys()):
        where = "the checkpoint lacks" if path in expected else "only the checkpoint has"
        raise TrainingError(f"{where} `{path}`: the functions must build the state it was saved of")
    for path, leaf in saved.items():
        seen, wanted = _form(leaf), _form(expected[path])
        if seen != wanted:
            raise TrainingError(f"`{path}` is {seen} in the checkpoint, but {wanted} here")


def _form(leaf: Tensor) -> str:
    return f"{leaf.dtype} of shape {tuple(leaf.shape[1:])}"
