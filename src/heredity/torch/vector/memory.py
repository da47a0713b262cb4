"""How many members train at once: all on the CPU; on a GPU, as many as its memory holds."""

from __future__ import annotations

import torch

from heredity.torch.vector.checks import ROWS, Traits, Trial

MARGIN = 0.8
"""The part of the free memory that is used, for what allocators and libraries take."""


def fitting(trial: Trial, traits: Traits, population: int, device: torch.device) -> int:
    """The chunk, from the memory that training and measuring two members takes at its peak."""
    if device.type != "cuda":
        return population
    used = _peak_bytes(trial, traits, device) / ROWS
    free = torch.cuda.mem_get_info(device)[0] * MARGIN
    return max(1, min(population, int(free / max(used, 1.0))))


def _peak_bytes(trial: Trial, traits: Traits, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    trial.stepped(traits.step_draws)
    trial.scored(traits.evaluate_draws)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
