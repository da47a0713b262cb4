"""Empty folders kept to be used again: some file systems are slow to make and to remove a folder.

    <folder>/<name>/    empty; it belongs to whoever renames it first

ext4, for one, may wait for milliseconds at each removal, and a study would remove a folder for
every trial. Nothing depends on a spare: where there is none, or the system refuses, a folder is
made or removed as if this file were not there. It knows folders and nothing of checkpoints.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

MOST = 64
"""Spares kept at once (a few more if several processes give one at the same moment): as many as a
population of a thousand releases checkpoints at a time."""


@dataclass(frozen=True, slots=True)
class Spares:
    """The spare folders in `folder`, which is there from the first one until `remove`."""

    folder: str

    def take(self, place: str) -> bool:
        """Move a spare to `place`, where nothing is; False if there is none."""
        for name in self._names():
            with contextlib.suppress(OSError):  # another process was first
                os.rename(self._at(name), place)
                return True
        return False

    def give(self, place: str) -> bool:
        """Keep the folder `place` as a spare; False if it was not moved and should go."""
        names = self._names()
        if len(names) >= MOST:
            return False
        try:
            if not names:
                self._make()
            if os.listdir(place):  # NFS keeps the removed files that somebody has open
                return False
            os.rename(place, self._at(os.path.basename(place)))
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove all spares but those that other processes take or give meanwhile."""
        for place in (*map(self._at, self._names()), self.folder):
            with contextlib.suppress(OSError):
                os.rmdir(place)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError:
            return []

    def _at(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _make(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.folder)
