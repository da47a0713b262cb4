"""The finalists of a vectorized study, whose states the device keeps: of each lane its best trial,
of these the best by lineage mean, ties to the earlier one; just those that elsewhere checkpoints
are kept of.

A trial that is no finalist when it ends can become none: means of lanes' best never fall. This file
knows no device; it says which row goes into which slot.
"""

from __future__ import annotations

import numpy as np

from heredity.evolution.population import Population


class Podium:
    """Who is on it, and in which slot."""

    def __init__(self, population: Population, slots: int) -> None:
        self._population = population
        self.slots = slots
        self._slot_of: dict[int, int] = {}

    @property
    def rows(self) -> dict[int, int]:
        """The trials on it, with their rows in a saved file."""
        return {trial: -1 - slot for trial, slot in sorted(self._slot_of.items())}

    def recover(self, uri: str) -> dict[int, int]:
        """Who stood on it when the last block was saved, as `uri`; the rows to keep, by slot."""
        population = self._population
        saved = [(trial, c.row) for trial, c in population.blocks.items() if c.uri == uri]
        slots = {trial: -1 - row for trial, row in saved if row is not None and row < 0}
        self._slot_of = {trial: slot for trial, slot in slots.items() if slot < self.slots}
        return self.take(population.resident[population.resident >= 0])

    def take(self, trials: np.ndarray[tuple[int], np.dtype[np.int64]]) -> dict[int, int]:
        """Consider trials whose states are on the device; the rows to keep, by slot."""
        means = self._population.means[trials, 0]
        better = trials[np.isfinite(means) & (means > self._floor())]
        if not len(better):
            return {}
        chosen = self._best([*self._slot_of, *better.tolist()])
        held = {trial: self._slot_of[trial] for trial in chosen if trial in self._slot_of}
        free = iter(sorted(set(range(self.slots)) - set(held.values())))
        new = {trial: next(free) for trial in chosen if trial not in held}
        self._slot_of = held | new
        return {slot: int(self._population.member[trial]) for trial, slot in new.items()}

    def _floor(self) -> float:
        """No lower mean can come in."""
        full = len(self._slot_of) == self.slots
        return float(self._population.means[list(self._slot_of), 0].min()) if full else -np.inf

    def _best(self, trials: list[int]) -> list[int]:
        p, best = self._population, dict[int, int]()
        ranked = sorted(trials, key=lambda trial: (-p.means[trial, 0], trial))
        for trial in ranked:
            best.setdefault(int(p.member[trial]), trial)
        return list(best.values())[: self.slots]
