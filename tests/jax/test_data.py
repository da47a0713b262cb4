"""Batches are what the user asked for; what cannot be is said at once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from populations import check, opened, played, round_of, setting, state

from heredity.errors import TrainingError, UsageError
from heredity.jax import VectorTrainable, batches, stream


def recorder(data: Any, size: int, interval: int) -> VectorTrainable:
    """Members whose state is what they were given."""

    def step(kept: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return jnp.roll(kept, -size).at[-size:].set(batch) + 0 * (hparams["lr"] + hparams["decay"])

    return VectorTrainable(
        lambda k, h: jnp.full(size * interval, -1.0), step, lambda s, h, k: s.sum(), data=data
    )


def test_shared_batches_are_the_same_for_all_and_go_through_epochs_of_the_study() -> None:
    functions = recorder(batches(np.arange(12.0), 4, shared=True), 4, 2)
    given = setting(interval=2)
    program = opened(functions, given)
    seen = []
    for turn in range(3):
        played(program, round_of(given, turn))
        drawn = state(program)[0]
        assert (drawn == drawn[0]).all()
        seen += drawn[0].tolist()
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]


def test_an_epoch_goes_on_from_trial_to_trial_also_of_the_single_member() -> None:
    """64 examples in batches of 16: three epochs are four trials of three steps."""
    given = setting(interval=3)
    functions = recorder(batches(np.arange(64.0), 16), 16, 3)
    program = opened(functions, given)
    alone = opened(functions, setting(population=1, interval=3))
    alone.members = np.array([2], np.int32)
    seen: list[Any] = []
    for turn in range(4):
        played(program, round_of(given, turn))
        seen.append(state(program)[0])
        one = {name: values[2:3] for name, values in round_of(given, turn).hparams.items()}
        played(alone, round_of(setting(population=1, interval=3), turn, hparams=one))
        np.testing.assert_array_equal(state(alone)[0][0], seen[-1][2])
    drawn = np.concatenate(seen, axis=1).reshape(4, 3, 64)
    assert (np.sort(drawn, axis=2) == np.arange(64)).all()
    assert len(np.unique(drawn.reshape(12, 64), axis=0)) == 12  # each in an order of its own


def test_who_takes_over_another_goes_on_at_the_donors_step_in_an_order_of_its_own() -> None:
    given = setting(interval=2)
    functions = recorder(batches(np.arange(16.0), 4), 4, 2)
    program = opened(functions, given)
    played(program, round_of(given, 0))
    straight = state(program)[0]
    played(program, round_of(given, 1))
    rest = state(program)[0]
    other = np.array([0, 2, 2, 2])
    played(program, round_of(given, 0))
    played(program, round_of(given, 1, [1, 1, 2, 3], starts=other))
    np.testing.assert_array_equal(state(program)[0][1:], rest[1:])
    np.testing.assert_array_equal(state(program)[0][0], straight[0])


def test_with_replacement_every_turn_draws_anew() -> None:
    given = setting(interval=2)
    program = opened(recorder(batches(np.arange(999.0), 4, replace=True), 4, 2), given)
    drawn = []
    for turn in range(2):
        played(program, round_of(given, turn, starts=np.zeros(4, np.int64)))
        drawn.append(state(program)[0])
    assert (drawn[0] != drawn[1]).any(axis=1).all()


def test_batches_with_replacement_draw_each_example_equally_likely() -> None:
    functions = recorder(batches(np.arange(4.0), 4, replace=True), 4, 200)
    given = setting(interval=200)
    program = opened(functions, given)
    played(program, round_of(given, 0))
    drawn = state(program)[0].astype(int)
    counts = np.array([np.bincount(row, minlength=4) for row in drawn])
    assert (abs(counts - 200) < 80).all()  # 6 standard deviations
    assert any(len(set(batch)) < 4 for batch in drawn[0].reshape(-1, 4).tolist())


def test_a_batch_has_the_structure_of_the_arrays() -> None:
    data = batches({"x": np.ones((10, 3)), "y": np.arange(10)}, 4)

    def step(kept: Any, hparams: Any, batch: Any, key: Any) -> Any:
        assert batch["x"].shape == (4, 3)
        assert batch["y"].shape == (4,)
        assert batch["x"].dtype == jnp.float32
        return kept * hparams["lr"] * hparams["decay"]

    check(VectorTrainable(lambda k, h: 0.0, step, lambda s, h, k: s, data=data))


def numbers(start: int) -> Iterator[Any]:
    while True:
        yield np.array([start, start], np.float32)
        start += 1


@pytest.mark.parametrize("steps", [(3, 3, 2), (2, 3, 3)], ids=["short last", "short first"])
def test_a_stream_gives_every_step_its_batch(steps: tuple[int, ...]) -> None:
    given = setting(interval=3)
    program = opened(recorder(stream(numbers), 2, 3), given)
    begun = 0
    for turn, count in enumerate(steps):
        starts = np.full(4, begun)
        played(program, round_of(given, turn, steps=count, starts=starts))
        begun += count
        seen = state(program)[0][:, -2 * count :]
        assert seen.tolist() == [np.repeat(np.arange(begun - count, begun), 2).tolist()] * 4
    program.close()


def test_an_iterator_that_uses_its_array_again_is_read_as_it_was() -> None:
    def one_array(start: int) -> Iterator[Any]:
        array = np.empty(2, np.float32)
        for batch in numbers(start):
            array[:] = batch
            yield array

    given = setting(interval=3)
    program = opened(recorder(stream(one_array), 2, 3), given)
    played(program, round_of(given, 0))
    assert state(program)[0][0].tolist() == [0, 0, 1, 1, 2, 2]
    program.close()


def test_an_iterator_that_raises_is_told_with_the_step_and_its_frames() -> None:
    def broken(start: int) -> Iterator[Any]:
        for number, batch in enumerate(numbers(start), start):
            if number == 4:
                raise OSError("the disk is gone")
            yield batch

    given = setting(interval=3)
    program = opened(recorder(stream(broken), 2, 3), given)
    played(program, round_of(given, 0))
    with pytest.raises(TrainingError, match=r"failed at step 4: OSError: the disk is gone") as told:
        played(program, round_of(given, 1, starts=np.full(4, 3)))
    assert "in broken" in told.value.remote_traceback
    program.close()


def test_a_stream_goes_on_where_the_study_stands() -> None:
    """Also with members that started afresh meanwhile."""
    given = setting(interval=3)
    program = opened(recorder(stream(numbers), 2, 3), given)
    played(program, round_of(given, 0, starts=np.array([0, 30, 0, 3])))
    assert state(program)[0][0].tolist() == [30, 30, 31, 31, 32, 32]
    program.close()


def test_a_stream_that_ends_is_an_error_only_when_more_is_needed() -> None:
    given = setting(interval=3)
    ends = stream(lambda start: iter([np.ones(2, np.float32)] * (5 - start)))
    program = opened(recorder(ends, 2, 3), given)
    played(program, round_of(given, 0))
    played(program, round_of(given, 1, steps=2))
    with pytest.raises(TrainingError, match="ended at step 5: make it endless"):
        program.start(round_of(given, 1))
    program.close()


def test_batches_of_a_stream_that_differ_are_an_error() -> None:
    given = setting(interval=3)
    uneven = stream(lambda start: iter([np.ones(2), np.ones(2), np.ones(1)] * 2))
    program = opened(recorder(uneven, 2, 3), given)
    with pytest.raises(TrainingError, match=r"the one at step 2 is float64\[1\]"):
        program.start(round_of(given, 0))
    program.close()


@pytest.mark.parametrize(
    "later",
    [np.ones(1, np.float32), np.ones(2, np.int32), (np.ones(2, np.float32),)],
    ids=["shape", "dtype", "structure"],
)
def test_batches_are_compared_with_the_first_of_all(later: Any) -> None:
    """Also where a round begins, whose program was compiled for the first."""
    given = setting(interval=3)
    first = np.ones(2, np.float32)
    uneven = stream(lambda start: iter(([first] * 3 + [later] * 9)[start:]))
    program = opened(recorder(uneven, 2, 3), given)
    played(program, round_of(given, 0))
    with pytest.raises(TrainingError, match=r"at step 3 is .*, the first one was float32\[2\]"):
        program.start(round_of(given, 1))
    program.close()


def test_nothing_is_read_ahead_of_a_last_round() -> None:
    read: list[int] = []

    def noted(start: int) -> Iterator[Any]:
        for step, batch in enumerate(numbers(start), start):
            read.append(step)
            yield batch

    given = setting(interval=3)
    program = opened(recorder(stream(noted), 2, 3), given)
    read.clear()  # the example's
    played(program, round_of(given, 0, last=True))
    played(program, round_of(given, 1, last=True))  # when a study goes on after all
    program.close()
    assert read == [0, 1, 2, 3, 4, 5]


def test_a_reader_that_is_held_up_holds_nobody_up() -> None:
    """Neither `close` nor the end of the process."""
    code = """
import threading
import numpy as np
from test_data import numbers, recorder
from populations import opened, played, round_of, setting
from heredity.jax import stream

held_up = threading.Event()

def stuck(start):
    for step, batch in enumerate(numbers(start), start):
        if step == 4:
            held_up.set()
            threading.Event().wait()
        yield batch

given = setting(interval=3)
program = opened(recorder(stream(stuck), 2, 3), given)
played(program, round_of(given, 0))
held_up.wait()
program.close()
print("closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


@pytest.mark.parametrize(
    ("arrays", "size", "words"),
    [
        ((np.ones((5, 2)), np.ones(4)), 2, r"differ in their number of examples: \[0\] has 5, \[1"),
        (np.ones(5), 6, "from 1 to the number of examples, 5; got 6"),
        (np.ones(5), 0, "got 0"),
        (np.ones(5), 2.0, "a whole number, the same for all, not 2.0"),
        (np.float32(1), 1, r"examples first, but data is np.float32\(1.0\)$"),
        (([[1.0, 2.0]], [3.0]), 1, r"\[0\]\[0\]\[0\] is 1.0 \(lists are no arrays: .*np.asarray"),
        ((), 1, "got no arrays"),
    ],
)
def test_batches_that_cannot_be_are_refused(arrays: Any, size: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        batches(arrays, size)


def test_streams_and_data_of_another_kind_are_refused() -> None:
    with pytest.raises(UsageError, match="function from a step to an iterator"):
        stream(iter([1]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"called as make_iterator\(step\), but it takes \(\)"):
        stream(lambda: iter([1]))  # type: ignore[arg-type, misc]
    with pytest.raises(UsageError, match=r"heredity.jax.batches\(.*not ndarray"):
        recorder(np.ones(3), 1, 1)
