"""Growing numpy columns: one row a trial, so that rules work on arrays and not on objects.

This file knows nothing of what a column means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Column:
    """An array that grows by doubling. `values` is the filled part, as a view."""

    __slots__ = ("_array", "_size", "fill")

    def __init__(self, dtype: DTypeLike, fill: Any, width: int | None = None) -> None:
        shape = (64,) if width is None else (64, width)
        self._array: NDArray[Any] = np.full(shape, fill, dtype=dtype)
        self.fill = fill
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, value: Any) -> None:
        """Add a row."""
        row = self._size
        self.extend()
        self._array[row] = value

    def extend(self) -> None:
        """Add a row of the fill value."""
        self._size += 1
        if self._size > len(self._array):
            self._array = np.concatenate([self._array, np.full_like(self._array, self.fill)])

    def __getitem__(self, row: Any) -> Any:
        return self._array[row]

    def __setitem__(self, row: Any, value: Any) -> None:
        self._array[row] = value

    @property
    def values(self) -> NDArray[Any]:
        """All rows so far; the array is shared and must not be written to."""
        return self._array[: self._size]

    @classmethod
    def of(cls, values: NDArray[Any], fill: Any) -> Column:
        """A column that begins with these rows."""
        column = cls.__new__(cls)
        spare = np.full((max(64, len(values)), *values.shape[1:]), fill, dtype=values.dtype)
        column._array = np.concatenate([values, spare])
        column.fill, column._size = fill, len(values)
        return column
