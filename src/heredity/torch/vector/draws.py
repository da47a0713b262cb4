"""Random numbers without a generator: functions of a key, one key for each member.

What a member draws depends on its key and on nothing else: not on who else is in the population,
nor on how many train at once. torch's generators cannot do that under `vmap`, where one stream
serves all rows. A key is a pair of 32-bit words, hashed with a counter by an integer mixer with low
bias (two rounds of xor-shift and multiply), so the numbers are the same on every device.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_WEYL = 0x9E3779B9  # 2³² / the golden ratio: a step that visits all words
_SECOND_WEYL = 0x85EBCA6B
_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
_TURN = 2.0 * math.pi


class Purpose(enum.IntEnum):
    """What a key is for; keys of different purposes share nothing."""

    INIT = 0
    ORDER = 1
    BATCH = 2
    STEP = 3
    EVALUATE = 4
    AGAIN = 5


# Keys --------------------------------------------------------------------------------------


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
    other = _mix(second + _times(number, _SECOND_WEYL), first ^ _signed(_WEYL))
    return torch.stack([one, other], dim=-1)


def bits(keys: Tensor, count: int) -> Tensor:
    """`count` random words (int32) for each key, shape (*keys, count)."""
    return _words(keys[..., :1], keys[..., 1:], count)


def _words(first: Tensor, second: Tensor, count: int) -> Tensor:
    counter = torch.arange(count, dtype=torch.int32, device=first.device) * _signed(_WEYL)
    return _mix(counter + first, second)


def _times(number: Tensor | int, factor: int) -> Tensor | int:
    if isinstance(number, Tensor):
        return number.to(torch.int32) * _signed(factor)
    return _signed(number * factor)


def _signed(word: int) -> int:
    return (word + 2**31) % 2**32 - 2**31


def _mix(words: Tensor, key: Tensor) -> Tensor:
    """Hash 32-bit words; the key enters halfway, so streams of near keys do not overlap."""
    words = words ^ (words >> 16) & 0xFFFF
    words = words * _signed(_MULTIPLIERS[0]) ^ key
    words = words ^ (words >> 15) & 0x1FFFF
    words = words * _signed(_MULTIPLIERS[1])
    return words ^ (words >> 16) & 0xFFFF


# torch's own random functions, keyed -------------------------------------------------------


class Keyed(TorchFunctionMode):
    """Inside of it, torch's random functions draw from one member's key.

    Those of `KEYED` are replaced, and only those: `vmap` refuses the others.
    """

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self.key = key
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        replaced = KEYED.get(func)
        if replaced is None:
            return func(*args, **(kwargs or {}))
        return replaced(self, *args, **(kwargs or {}))

    def bits(self, shape: Sequence[int]) -> Tensor:
        """Random words of this shape, others at each call."""
        self.calls += 1
        call = self.key[:1] ^ _signed(self.calls * _SECOND_WEYL)
        return _words(call, self.key[1:], math.prod(shape)).reshape(tuple(shape))

    def uniform(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Uniform in [0, 1), in steps of 2⁻²⁴."""
        dtype = dtype or torch.get_default_dtype()
        return ((self.bits(shape) >> 8) & 0xFFFFFF).to(dtype) * 2.0**-24

    def normal(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Standard normal, by Box and Muller (1958)."""
        radius = torch.sqrt(-2.0 * torch.log1p(-self.uniform(shape, dtype)))
        return radius * torch.cos(_TURN * self.uniform(shape, dtype))


def _dropout(
    keyed: Keyed, input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    return _dropped(keyed, input, p, input.shape) if training else input


def _dropout_of_channels(
    keyed: Keyed, input: Tensor, p: Any = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
    return _dropped(keyed, input, p, shape) if training else input


def _dropped(keyed: Keyed, input: Tensor, p: Any, shape: Sequence[int]) -> Tensor:
    """Inverted dropout; `p` is a number or a member's own hparam."""
    if not isinstance(p, Tensor) and p >= 1.0:
        return input * 0.0
    kept = keyed.uniform(shape, input.dtype) >= p
    return input * torch.where(kept, 1.0 / (1.0 - p), 0.0).to(input.dtype)


def _shape(size: tuple[Any, ...], named: Any) -> tuple[int, ...]:
    size = size or (named,)
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


def _rand(keyed: Keyed, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.uniform(_shape(size, rest.get("size")), dtype)


def _randn(keyed: Keyed, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.normal(_shape(size, rest.get("size")), dtype)


def _rand_like(keyed: Keyed, input: Tensor, *, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.uniform(input.shape, dtype or input.dtype)


def _randn_like(keyed: Keyed, input: Tensor, *, dtype: Any = None, **rest: Any) -> Tensor:
    return keyed.normal(input.shape, dtype or input.dtype)


def _bernoulli(keyed: Keyed, input: Tensor, p: Any = None, **rest: Any) -> Tensor:
    return (keyed.uniform(input.shape) < (input if p is None else p)).to(input.dtype)


def _randint(keyed: Keyed, *bounds_and_size: Any, dtype: Any = torch.int64, **rest: Any) -> Tensor:
    *bounds, size = bounds_and_size if "size" not in rest else (*bounds_and_size, rest["size"])
    low, high = (0, *bounds)[-2:]
    return torch.add(below(keyed.bits(tuple(size)), high - low).to(dtype), low)


def below(words: Tensor, count: int) -> Tensor:
    """Words as whole numbers in [0, count), int64."""
    return (words.to(torch.int64) & 0xFFFFFFFF) * count >> 32


KEYED: dict[Any, Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    functional.dropout1d: _dropout_of_channels,
    functional.dropout2d: _dropout_of_channels,
    functional.dropout3d: _dropout_of_channels,
    torch.dropout: _dropout,
    torch.rand: _rand,
    torch.randn: _randn,
    torch.rand_like: _rand_like,
    torch.randn_like: _randn_like,
    torch.randint: _randint,
    torch.bernoulli: _bernoulli,
}
"""torch's function → its keyed form. Modules such as `nn.Dropout` are made of these."""
