"""Random words by key: uniform, independent, the same wherever they are drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heredity.torch.vector.keys import Purpose, below, bits, fold, member_keys

CPU = torch.device("cpu")


def keys(count: int, turn: int = 0, seed: int = 0, purpose: Purpose = Purpose.STEP) -> torch.Tensor:
    return member_keys(seed, np.arange(count), turn, purpose, CPU)


def test_words_are_uniform_in_every_bit() -> None:
    words = bits(keys(64), 4096).reshape(-1)
    for place in range(32):
        ones = int(((words >> place) & 1).sum())
        assert abs(ones - len(words) / 2) < 4 * (len(words) / 4) ** 0.5


def test_words_fall_evenly_into_bins() -> None:
    counts = torch.bincount(below(bits(keys(64), 4096), 100).reshape(-1), minlength=100).double()
    expected = 64 * 4096 / 100
    assert float(((counts - expected) ** 2 / expected).sum()) < 160  # 99 degrees of freedom


@pytest.mark.parametrize("shift", [1, 2, 7, 128])
def test_streams_of_neighbours_do_not_overlap(shift: int) -> None:
    many = bits(keys(256), 512).double()
    for one, other in ((many[:-1], many[1:]), (many[:, :-shift], many[:, shift:])):
        correlation = np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1]
        assert abs(correlation) < 0.02
    assert len(torch.unique(many)) > 0.9999 * many.numel()


def test_keys_differ_by_seed_member_turn_purpose_and_step() -> None:
    made = [
        *keys(50),
        *keys(50, turn=1),
        *keys(50, seed=1),
        *keys(50, seed=2**70 + 1),
        *keys(50, purpose=Purpose.BATCH),
        *(row for step in range(50) for row in fold(keys(2), step)),
    ]
    assert len({tuple(key.tolist()) for key in made}) == len(made) - 50  # a seed counts modulo 2⁶⁴


def test_folding_many_numbers_at_once_is_folding_each() -> None:
    numbers = torch.arange(5)
    together = fold(keys(3), numbers[:, None])
    assert all(torch.equal(together[i], fold(keys(3), i)) for i in range(5))
