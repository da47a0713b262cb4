"""A keyed permutation of 0 … count − 1 of which any place can be computed alone: no memory.

A generalised Feistel network (Black and Rogaway 2002, "Ciphers with arbitrary finite domains") over
a × b ≤ count places with a = ⌊√count⌋, b = ⌊count / a⌋; rotations between the stages mix in the
fewer than a that are left. Every stage is a bijection, so every example comes once.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

STAGES = 4
"""Each of one rotation and two half rounds."""


def permuted(key: Any, number: Any, size: int, count: int) -> Any:
    """Batch `number` of `size` examples: each of `count` once an epoch, in a new order each epoch.

    A batch may end one epoch and begin the next. For fewer than 2**30 examples.
    """
    epoch, place = _divided(number, size, count)
    words = jax.random.key_data(key).astype(jnp.uint32)
    return permute(place, (words[0] ^ _mixed(epoch), words[1]), count).astype(jnp.int32)


def permute(place: Any, words: tuple[Any, Any], count: int) -> Any:
    """Where a keyed permutation of `count` puts `place` (uint32, any shape)."""
    rows = math.isqrt(count)
    columns = count // rows
    for stage in range(STAGES):
        salt = _mixed(words[0] + jnp.uint32(stage)) ^ words[1]
        place = (place + _mixed(salt) % jnp.uint32(count)) % jnp.uint32(count)
        row, column = place // jnp.uint32(columns), place % jnp.uint32(columns)
        row = (row + _mixed(column ^ salt) % jnp.uint32(rows)) % jnp.uint32(rows)
        column = (column + _mixed(row + salt) % jnp.uint32(columns)) % jnp.uint32(columns)
        inside = place < jnp.uint32(rows * columns)
        place = jnp.where(inside, row * jnp.uint32(columns) + column, place)
    return place


def _divided(number: Any, size: int, count: int) -> tuple[Any, Any]:
    """The epoch and the place in it of every example of a batch, without overflow.

    `number * size` may exceed 32 bits in a long study; whole cycles of batches do not count: after
    `count` batches there were `size` epochs.
    """
    number = jnp.asarray(number).astype(jnp.uint32)
    cycle, rest = number // jnp.uint32(count), number % jnp.uint32(count)
    epoch, place = _multiplied(rest, size, count)
    place = place + jnp.arange(size, dtype=jnp.uint32)
    over = place >= jnp.uint32(count)
    epoch = cycle * jnp.uint32(size) + epoch + over
    return epoch, jnp.where(over, place - jnp.uint32(count), place)


def _multiplied(number: Any, size: int, count: int) -> tuple[Any, Any]:
    """`divmod(number * size, count)` for number < count < 2**30 and size ≤ count."""
    if count * size < 2**32:
        product = number * jnp.uint32(size)
        return product // jnp.uint32(count), product % jnp.uint32(count)
    quotient, remainder = jnp.zeros_like(number), jnp.zeros_like(number)
    for bit in f"{size:b}":  # long multiplication, reduced at every digit to fit 32 bits
        remainder = remainder * 2 + (number if bit == "1" else jnp.uint32(0))
        over = (remainder >= count).astype(jnp.uint32) + (remainder >= 2 * count)
        quotient = quotient * 2 + over
        remainder = remainder - over * jnp.uint32(count)
    return quotient, remainder


def _mixed(x: Any) -> Any:
    """A uint32 whose bits all depend on all bits of `x` (the finalizer of MurmurHash3)."""
    x = jnp.asarray(x).astype(jnp.uint32)
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
