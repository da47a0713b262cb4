"""Every part of a trial draws from a seed of its own, whatever was drawn before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from heredity.trainables.seeds import Part, seed_part

PARTS: list[Part] = ["setup", "train", "evaluate"]


def draws() -> tuple[Any, ...]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


@given(st.integers(0, 2**63 - 1), st.sampled_from(PARTS), st.integers(0, 20))
def test_the_same_seed_draws_the_same_whatever_came_before(
    seed: int, part: Part, repeat: int
) -> None:
    seed_part(seed, part, repeat)
    first = draws()
    draws()
    seed_part(seed, part, repeat)
    assert draws() == first


def test_parts_repeats_and_seeds_draw_differently_in_every_generator() -> None:
    seen = []
    for seed in (0, 1, 2**40):
        for part in PARTS:
            for repeat in (0, 1):
                seed_part(seed, part, repeat)
                seen.append(draws())
    for generator in zip(*seen, strict=True):
        assert len(set(generator)) == len(seen)
