"""Batches of each member's own, or shared, drawn from arrays on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from heredity.executors.program import Round
from heredity.torch import batches
from heredity.torch.vector.feeds import Resident

COUNT, SIZE = 23, 5
VALUES = torch.arange(COUNT)
EPOCH = COUNT // SIZE


def resident(members: int = 3, *, seed: int = 0, **options: Any) -> Resident:
    data = batches(VALUES, SIZE, **options)
    return Resident(data, seed, members, torch.device("cpu"))


def begin(made: Resident, starts: Any, turn: int = 0) -> Resident:
    count, starts = len(starts), np.array(starts)
    turns, measured = np.full(count, turn), np.ones(count, dtype=bool)
    made.begin(Round(np.arange(count), turns, starts, {}, 1, measured), np.arange(count))
    return made


def drawn(made: Resident, steps: int, rows: slice | None = None) -> torch.Tensor:
    return torch.stack([made.batch(rows or slice(0, 3), step).clone() for step in range(steps)])


def test_an_epoch_goes_through_the_examples_without_replacement() -> None:
    seen = drawn(begin(resident(), [0, 0, 0]), 2 * EPOCH)
    assert seen.shape == (2 * EPOCH, 3, SIZE)
    for member in range(3):
        for epoch in (seen[:EPOCH, member], seen[EPOCH:, member]):
            assert len(epoch.unique()) == EPOCH * SIZE
    assert not torch.equal(seen[:EPOCH, 0], seen[:EPOCH, 1])
    assert not torch.equal(seen[:EPOCH, 0], seen[EPOCH:, 0])


def test_every_example_is_as_likely_in_every_place() -> None:
    made = begin(resident(1), [0])
    seen = drawn(made, 400 * EPOCH, slice(0, 1))
    counts = torch.bincount(seen.reshape(-1), minlength=COUNT).double()
    expected = seen.numel() / COUNT
    assert (counts - expected).abs().max() < 4.5 * expected**0.5


def test_an_epoch_goes_on_over_rounds_and_after_a_crash() -> None:
    straight = drawn(begin(resident(), [0, 0, 0]), 3 * EPOCH)
    parted, fresh = begin(resident(), [0, 0, 0]), resident()
    first = drawn(parted, 3)
    second = drawn(begin(parted, [3, 3, 3], turn=1), 3 * EPOCH - 3)
    assert torch.equal(torch.cat([first, second]), straight)
    assert torch.equal(drawn(begin(fresh, [3, 3, 3], turn=1), 3 * EPOCH - 3), straight[3:])


def test_members_may_stand_at_different_steps() -> None:
    straight = drawn(begin(resident(), [0, 0, 0]), 3 * EPOCH)
    uneven = drawn(begin(resident(), [0, 5, 2]), EPOCH)
    for member, start in enumerate([0, 5, 2]):
        assert torch.equal(uneven[:, member], straight[start : start + EPOCH, member])


@pytest.mark.parametrize("replace", [False, True])
def test_batches_do_not_depend_on_the_group_or_the_others(replace: bool) -> None:
    whole = drawn(begin(resident(replace=replace), [0, 0, 0]), 40)
    part = begin(resident(replace=replace), [0, 0, 0])
    assert torch.equal(drawn(part, 40, slice(2, 3)), whole[:, 2:])
    assert torch.equal(drawn(part, 40, slice(0, 2)), whole[:, :2])


def test_with_replacement_draws_are_independent() -> None:
    seen = drawn(begin(resident(replace=True), [0, 0, 0]), 2000)
    counts = torch.bincount(seen.reshape(-1), minlength=COUNT).double()
    expected = seen.numel() / COUNT
    assert float(((counts - expected) ** 2 / expected).sum()) < 50  # 22 degrees of freedom
    repeats = sum(len(batch.unique()) < SIZE for batch in seen[:, 0])
    assert 600 < repeats < 900  # 1 − 23!/18!/23⁵ = 0.37
    again = drawn(begin(resident(replace=True), [0, 0, 0], turn=1), 5)
    assert not torch.equal(again, seen[:5])


@pytest.mark.parametrize("replace", [False, True])
def test_a_shared_stream_has_no_axis_of_members(replace: bool) -> None:
    made = begin(resident(shared=True, replace=replace), [0, 7, 0])
    batch = made.batch(slice(0, 3), 0)
    assert batch.shape == (SIZE,)
    assert torch.equal(made.batch(slice(1, 2), 0), batch)


def test_batches_have_the_form_of_the_arrays() -> None:
    arrays = {"x": np.ones((COUNT, 2, 4), dtype=np.float32), "y": (VALUES, VALUES + 1)}
    made = Resident(batches(arrays, SIZE), 0, 3, torch.device("cpu"))
    batch = begin(made, [0, 0, 0]).batch(slice(0, 3), 0)
    assert batch["x"].shape == (3, SIZE, 2, 4)
    assert torch.equal(batch["y"][0] + 1, batch["y"][1])
