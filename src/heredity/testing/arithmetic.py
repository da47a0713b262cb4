"""A vector trainable in plain numpy: small, exact, and quick to start.

Progress of 1 − 4·(x − 0.7)² a step, evaluated without noise; where `x` is above `limit`, the state
becomes NaN. It does all that a program must do, so that drivers are tested without a framework.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heredity.executors.program import FRESH, OutOfMemory, Round, RoundScores, Setting
from heredity.space import Space
from heredity.trainables.trainable import Trainable

Floats = NDArray[np.float64]


def gain(x: Any) -> Any:
    """Progress of one step: at most 1, where x is 0.7."""
    return 1.0 - 4.0 * (x - 0.7) ** 2


@dataclass(frozen=True)
class Arithmetic:
    """The vector trainable. Space: `x` in [0, 1]; objective: maximise "progress".

    With more than `room` rows at once, the device runs out of memory in its third round.
    """

    limit: float = 2.0
    room: int | None = None

    def program(
        self, chunk: int | Literal["auto"] = "auto", devices: int | None = None
    ) -> ArithmeticProgram:
        """The program of a whole population."""
        return ArithmeticProgram(self.limit, chunk, self.room)

    def single(self, setting: Setting) -> Callable[[], Trainable]:
        """One member as an ordinary Trainable."""
        return partial(Single, self.limit)


class Single(Trainable):
    """The same arithmetic for one member."""

    def __init__(self, limit: float = 2.0) -> None:
        self.limit = limit

    def setup(self, hparams: Mapping[str, Any], seed: int) -> None:
        self.progress = 0.0

    def train(self, steps: int) -> None:
        x = self.hparams["x"]
        for _ in range(steps):
            self.progress += float("nan") if x > self.limit else gain(x)

    def evaluate(self) -> Any:
        return {"progress": self.progress}

    def save(self, directory: Path) -> None:
        Path(directory, "progress.json").write_text(json.dumps(self.progress))

    def load(self, directory: Path) -> None:
        self.progress = json.loads(Path(directory, "progress.json").read_text())


@dataclass
class ArithmeticRows:
    """A copy of the state: one row a member, then the slots, the first one last."""

    progress: Floats

    def write(self, directory: Path) -> None:
        np.save(directory / "progress.npy", self.progress, allow_pickle=False)


class ArithmeticProgram:
    """The program. It counts its rounds, for tests of what was done twice."""

    def __init__(self, limit: float, chunk: int | Literal["auto"], room: int | None) -> None:
        self.limit = limit
        self.room = room
        self._chunk = chunk
        self.rounds = 0

    def open(self, setting: Setting) -> None:
        self.setting = setting
        self._progress: Floats = np.zeros(setting.population)
        self._kept: Floats = np.full(setting.slots, np.nan)

    @property
    def chunk(self) -> int:
        return self.setting.population if self._chunk == "auto" else self._chunk

    def start(self, round: Round) -> None:
        if self.room is not None and self.chunk > self.room and self.rounds == 2:
            raise OutOfMemory(f"{self.chunk} rows at once need more memory", self.chunk // 2)
        before = np.where(round.sources == FRESH, 0.0, self._progress[round.sources])
        x = round.hparams["x"]
        after = before
        for _ in range(round.steps):
            after = after + np.where(x > self.limit, np.nan, gain(x))
        self._progress = after if round.idle is None else np.where(round.idle, before, after)
        self.rounds += 1

    def finish(self) -> RoundScores:
        return RoundScores({"progress": self._progress.copy()}, np.isfinite(self._progress))

    def keep(self, rows: Mapping[int, int]) -> None:
        for slot, row in rows.items():
            self._kept[slot] = self._progress[row]

    def copy(self) -> ArithmeticRows:
        return ArithmeticRows(np.append(self._progress, self._kept[::-1]))

    def load(self, directory: Path) -> None:
        saved: Floats = np.load(directory / "progress.npy", allow_pickle=False)
        self._progress, kept = np.split(saved, [self.setting.population])
        for slot, value in enumerate(kept[::-1][: len(self._kept)]):
            self._kept[slot] = value

    def evaluate(
        self, directory: Path, row: int, hparams: Mapping[str, Any], seed: int, count: int
    ) -> Mapping[str, float]:
        member = self.member(directory, row, hparams, self.setting.space)
        return {"progress": member, "progress_std": 0.0}

    def member(self, directory: Path, row: int, hparams: Mapping[str, Any], space: Space) -> float:
        return float(np.load(directory / "progress.npy", allow_pickle=False)[row])

    def close(self) -> None:
        """Nothing to let go of."""
