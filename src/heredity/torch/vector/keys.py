"""Random numbers without a generator: functions of a key, one key for each member.

What a member draws depends on its key and on nothing else: not on who else is in the population,
nor on how many train at once. torch's generators cannot do that under `vmap`, where one stream
serves all rows. A key is a pair of 32-bit words, hashed with a counter by an integer mixer with low
bias (two rounds of xor-shift and multiply), so the numbers are the same on every device.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_WEYL = 0x9E3779B9  # 2³² / the golden ratio: a step that visits all words
SECOND_WEYL = 0x85EBCA6B
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)


class Purpose(enum.IntEnum):
    """What a key is for; keys of different purposes share nothing."""

    INIT = 0
    ORDER = 1
    BATCH = 2
    STEP = 3
    EVALUATE = 4
    AGAIN = 5


def member_words(
    seed: int, members: NDArray[np.int64], turns: NDArray[np.int64] | int, purpose: Purpose
) -> NDArray[np.uint64]:
    """64 random bits for each member at its turn, shape (members,)."""
    words = _splitmix(np.full(len(members), seed % 2**64, dtype=np.uint64))
    for part in (int(purpose), members, turns):
        words = _splitmix(words ^ np.asarray(part, dtype=np.int64).astype(np.uint64))
    return words


def member_keys(
    seed: int,
    members: NDArray[np.int64],
    turns: NDArray[np.int64] | int,
    purpose: Purpose,
    device: torch.device,
) -> Tensor:
    """A key for each member at its turn, shape (members, 2)."""
    pairs = member_words(seed, members, turns, purpose).view(np.int32).reshape(-1, 2)
    return on_device(pairs, device)


def on_device(
    array: NDArray[Any], device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """A copy of the array on the device. A GPU is not waited for."""
    tensor = torch.from_numpy(np.array(array))
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, dtype, non_blocking=True)


def _splitmix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014): one step of the sequence, and its output function."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def fold(keys: Tensor, number: Tensor | int) -> Tensor:
    """New keys made of keys and a number, or of as many numbers as there are keys."""
    first, second = keys[..., 0], keys[..., 1]
    one = _mix(first + _times(number, _WEYL), second)
    other = _mix(second + _times(number, SECOND_WEYL), first ^ signed(_WEYL))
    return torch.stack([one, other], dim=-1)


def bits(keys: Tensor, count: int) -> Tensor:
    """`count` random words (int32) for each key, shape (*keys, count)."""
    return words(keys[..., :1], keys[..., 1:], count)


def words(first: Tensor, second: Tensor, count: int) -> Tensor:
    """Random words (int32) of a key's two halves, hashed with a counter."""
    counter = torch.arange(count, dtype=torch.int32, device=first.device) * signed(_WEYL)
    return _mix(counter + first, second)


def _times(number: Tensor | int, factor: int) -> Tensor | int:
    if isinstance(number, Tensor):
        return number.to(torch.int32) * signed(factor)
    return signed(number * factor)


def signed(word: int) -> int:
    return (word + 2**31) % 2**32 - 2**31


def _mix(words: Tensor, key: Tensor) -> Tensor:
    """Hash 32-bit words; the key enters halfway, so streams of near keys do not overlap."""
    words = words ^ (words >> 16) & 0xFFFF
    words = words * signed(_MULTIPLIERS[0]) ^ key
    words = words ^ (words >> 15) & 0x1FFFF
    words = words * signed(_MULTIPLIERS[1])
    return words ^ (words >> 16) & 0xFFFF


def below(words: Tensor, count: int) -> Tensor:
    """Words as whole numbers in [0, count), int64."""
    return (words.to(torch.int64) & 0xFFFFFFFF) * count >> 32
