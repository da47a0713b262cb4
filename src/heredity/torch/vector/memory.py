"""How many members train at once: all on the CPU; on a GPU, as many as its memory holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from heredity.torch.vector.checks import ROWS, Traits, Trial

MARGIN = 0.8
"""The part of the free memory that is used, for what allocators and libraries take."""


def fitting(trial: Trial, traits: Traits, population: int, device: torch.device) -> int:
    """The chunk, from the memory that training and measuring two members take at their peaks.

    The two are added: a recorded step keeps its memory to itself.
    """
    if device.type != "cuda":
        return population
    step = _peak_bytes(lambda: trial.stepped(traits.step_draws), device)
    score = _peak_bytes(lambda: trial.scored(traits.evaluate_draws), device)
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0] * MARGIN
    return max(1, min(population, int(free * ROWS / max(step + score, 1))))


def _peak_bytes(call: Callable[[], Any], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
