"""Seeds of everything random that user code is likely to draw from.

RNG state is never part of a checkpoint: each part of a trial starts from a seed of its own, so a
trial draws the same numbers whether its member was kept alive or loaded on another machine.
"""

from __future__ import annotations

import functools
import random
import sys
from typing import Any, Literal

import numpy as np

Part = Literal["setup", "train", "evaluate"]

_PARTS: dict[Part, int] = {"setup": 0, "train": 1, "evaluate": 2}


def seed_part(seed: int, part: Part, repeat: int = 0) -> None:
    """Seed Python, NumPy and, if it is imported, torch for one part of a trial."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_PARTS[part], repeat))
    first, second = (int(word) for word in sequence.generate_state(2, np.uint32))
    random.seed(first << 32 | second)
    np.random.seed(first)  # the global generator is what users draw from
    if torch := sys.modules.get("torch"):
        # Without an accelerator, the part of torch.manual_seed that counts: 1,000 × faster.
        seeder: Any = torch if _has_accelerator() else torch.default_generator
        seeder.manual_seed((first << 31) ^ second)


@functools.cache
def _has_accelerator() -> bool:
    torch: Any = sys.modules["torch"]
    return bool(torch.cuda.is_available() or torch.backends.mps.is_available())
