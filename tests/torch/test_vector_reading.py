"""A stream gives every step its batch, in order, and what goes wrong in it is told."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vector_toys import FEATURES, Played, X, Y, classifier, mlp, rates

import heredity as hd
import heredity.torch as ht
from heredity.errors import HeredityError, TrainingError
from heredity.space import LogUniform, Space

INTERVAL = 10  # of a population that is played
SPACE = Space(lr=LogUniform(0.1, 1.0))


def recorder(data: Any, kept: int) -> ht.VectorTrainable:
    """Members whose state is the last so many numbers that they were given."""

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        return torch.cat([state[len(batch) :], batch]) + 0 * hparams["lr"]

    return ht.VectorTrainable.of(
        lambda hparams: torch.full((kept,), -1.0), step, lambda state, hparams: state.sum(), data
    )


def opened(make_iterator: Any, kept: int = 6, *, members: int = 2, chunk: Any = "auto") -> Played:
    trainable = recorder(ht.stream(make_iterator), kept)
    return Played(trainable, SPACE.sample_many(members, 0), SPACE, chunk=chunk)


def seen(population: Played) -> list[list[float]]:
    rows: list[list[float]] = population.states()[""].tolist()
    return rows


def pairs(start: int) -> Iterator[Any]:
    while True:
        yield np.array([start, start + 0.5], np.float32)
        start += 1


def told(start: int, stop: int) -> list[float]:
    return [value for step in range(start, stop) for value in (step, step + 0.5)]


@pytest.mark.parametrize("chunk", ["auto", 1])
def test_every_step_has_its_batch_in_order_and_for_all_members(chunk: Any) -> None:
    population = opened(pairs, 2 * 23, chunk=chunk)
    for steps in (INTERVAL, 3, INTERVAL):  # a short round, and what was read for it goes on
        population.play(steps)
    assert seen(population) == [told(0, 23)] * 2
    population.program.close()


def test_an_iterator_that_uses_its_array_again_is_read_as_it_was() -> None:
    def reusing(start: int) -> Iterator[Any]:
        array = np.zeros(2, np.float32)
        for step in range(start, 100):
            array[:] = step, step + 0.5
            yield array

    population = opened(reusing)
    population.play(3)
    assert seen(population) == [told(0, 3)] * 2
    population.program.close()


def test_batches_go_on_where_the_study_stands() -> None:
    """After a crash, and also with a member that begins afresh."""
    population = opened(pairs)
    population.starts = np.array([0, 30])
    population.turn = 1
    population.play(3)
    assert seen(population) == [told(30, 33)] * 2
    population.play(3, sources=[-1, 1])
    assert seen(population)[1] == told(33, 36)
    population.program.close()


def test_the_next_batches_are_read_while_the_device_trains() -> None:
    """Batch 5 is of the second round; the first one's evaluation waits until it was read."""
    read = threading.Event()
    threads = set()

    def noticed(start: int) -> Iterator[Any]:
        for step in range(start, 100):
            threads.add(threading.current_thread().name.partition("_")[0])
            if step == 5:
                read.set()
            yield np.ones(2, np.float32)

    def evaluate(state: Any, hparams: Any) -> Any:
        waited.append(read.wait(timeout=60)) if trains else None
        return state.sum()

    waited: list[bool] = []
    trains: list[bool] = []
    trainable = ht.VectorTrainable.of(
        lambda hparams: torch.ones(2),
        lambda state, hparams, batch: state * hparams["lr"],
        evaluate,
        ht.stream(noticed),
    )
    population = Played(trainable, SPACE.sample_many(2, 0), SPACE)
    assert not read.is_set()
    trains.append(True)
    population.play(5)
    assert waited == [True]
    assert "heredity-stream" in threads
    population.program.close()


def test_nothing_is_read_while_members_start() -> None:
    """An iterator may draw from torch's generator, as a DataLoader does; so do new modules."""
    read: list[int] = []
    at_start: list[int] = []

    def counted(start: int) -> Iterator[Any]:
        for step in range(start, 100):
            read.append(step)
            yield X[:5], Y[:5]

    def model() -> nn.Module:
        at_start.append(len(read))
        return mlp()

    population = Played(classifier(model=model, data=ht.stream(counted)), rates(30))
    opened = len(at_start)
    population.play(2)
    population.play(2, sources=[*[-1] * 29, 29])
    assert at_start[opened:] == [3] * 30 + [13] * 29  # one to open, a round, an interval ahead
    population.program.close()


def counting(read: list[int]) -> Any:
    def counted(start: int) -> Iterator[Any]:
        for step in range(start, 100):
            read.append(step)
            yield np.ones(2, np.float32)

    return counted


def test_nothing_is_read_after_the_last_round() -> None:
    read: list[int] = []
    population = opened(counting(read))
    population.play(2)
    population.play(INTERVAL, last=True)
    for thread in threading.enumerate():
        if thread.name == "heredity-stream":
            thread.join(timeout=60)
    assert read[-1] == 2 + INTERVAL - 1
    population.play(1)  # one that was not expected after all
    assert read[-1] >= 2 + INTERVAL
    population.program.close()


def test_an_idle_member_does_not_say_where_the_stream_stands() -> None:
    population = opened(pairs)
    population.play(2)
    population.starts[1] = 50
    population.play(3, idle=np.array([False, True]))
    assert seen(population) == [told(2, 5), [-1.0, -1.0, *told(0, 2)]]
    population.program.close()


class Blocked:
    """An iterator whose sixth batch comes when `go_on` is set. `thread` is who waits for it."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, start: int) -> Iterator[Any]:
        for step in range(start, 100):
            if step == 5:
                self.thread = threading.current_thread()
                self.reached.set()
                assert self.go_on.wait(timeout=60)
            yield np.ones(2, np.float32)


def test_closing_does_not_wait_for_an_iterator_and_reads_no_further() -> None:
    blocked = Blocked()
    population = opened(blocked)
    population.play(5)
    assert blocked.reached.wait(timeout=60)
    population.program.close()
    assert blocked.thread.is_alive()
    blocked.go_on.set()
    blocked.thread.join(timeout=60)
    assert not blocked.thread.is_alive()


def test_what_was_read_ahead_in_vain_is_not_read_to_its_end() -> None:
    read: list[int] = []
    blocked = Blocked()

    def watched(start: int) -> Iterator[Any]:
        for step, batch in enumerate(blocked(start), start):
            read.append(step)
            yield batch

    population = opened(watched)
    population.play(5)
    assert blocked.reached.wait(timeout=60)
    population.starts += 40
    stopped = population.program._feed._ahead._ahead.stopped  # type: ignore[attr-defined]

    def go_on() -> None:
        stopped.wait(timeout=60)
        blocked.go_on.set()

    threading.Thread(target=go_on).start()
    population.play(1, last=True)
    assert not {6, 7, 8}.intersection(read)
    assert read[-1] == 45
    population.program.close()


ENDING = """
import itertools, threading
import torch
import heredity.torch as ht
from heredity.executors.program import FRESH, Round, Setting
from heredity.space import LogUniform, Space
import numpy as np

reached = [threading.Event(), threading.Event()]

def busy(start):
    for step in itertools.count(start):
        if step > 1:
            reached[0].set()
        yield torch.randn(200, 200) @ torch.randn(200, 200)

def blocked(start):
    for step in itertools.count(start):
        if step > 1:
            reached[1].set()
            threading.Event().wait()
        yield torch.ones(1)

for make in (busy, blocked):
    program = ht.VectorTrainable.of(
        lambda h: torch.zeros(()), lambda s, h, b: s + h["lr"], lambda s, h: s, ht.stream(make)
    ).program()
    program.open(Setting(Space(lr=LogUniform(0.1, 1.0)), 1, 100_000, "score", 0))
    none = np.zeros(1, np.int64)
    program.start(Round(none + FRESH, none, none, {"lr": none + 0.5}, 1, none == 0))
    program.finish()
for event in reached:
    assert event.wait(timeout=60)
"""


def test_the_end_of_the_interpreter_waits_for_no_iterator_and_does_not_crash() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDING], timeout=120, capture_output=True)
    assert (ended.returncode, ended.stderr.decode()) == (0, "")


def test_a_batch_has_the_form_that_the_iterator_gave_it() -> None:
    def step(state: Any, hparams: Any, batch: Any) -> Any:
        assert batch["x"].shape == (4, 3)
        assert batch["y"][0].dtype == torch.int64
        return state * hparams["lr"] + batch["x"].sum() + batch["y"][1]

    batch = {"x": torch.ones(4, 3), "y": [np.arange(4), 5.0]}
    trainable = ht.VectorTrainable.of(
        lambda h: torch.zeros(()), step, lambda s, h: s, ht.stream(lambda start: iter([batch] * 50))
    )
    population = Played(trainable, [{"lr": 0.5}], SPACE)
    population.play(1)
    assert population.states()[""].tolist() == [17.0]
    population.program.close()


# What goes wrong ------------------------------------------------------------------------


def test_an_iterator_that_ends_is_an_error_only_when_more_is_needed() -> None:
    population = opened(lambda start: iter([np.ones(2, np.float32)] * (5 - start)))
    population.play(3)
    population.play(2)
    for _ in range(2):
        with pytest.raises(TrainingError, match="ended at step 5: make it endless, for example"):
            population.play(1)
    population.program.close()


def test_an_iterator_that_raises_is_told_with_the_step_and_its_frames() -> None:
    def failing(start: int) -> Iterator[Any]:
        for step in range(start, 100):
            if step == 4:
                raise OSError("the disk is gone")
            yield np.ones(2, np.float32)

    population = opened(failing)
    population.play(3)
    for _ in range(2):  # asked again, it is the same error and not an end
        with pytest.raises(TrainingError, match="failed at step 4: OSError: the disk") as caught:
            population.play(3)
        assert "in failing" in caught.value.remote_traceback
    population.program.close()


def uneven(start: int) -> Iterator[Any]:
    for step in range(start, 100):
        yield np.ones(2 if step != 5 else 1, np.float32)


def test_a_batch_of_another_form_is_told_with_the_step() -> None:
    population = opened(uneven)
    population.play(3)
    message = r"at step 5 is float32\[1\], but the first was float32\[2\]: .*drop_last=True"
    with pytest.raises(TrainingError, match=message):
        population.play(3)
    population.program.close()


@pytest.mark.parametrize(
    ("make_iterator", "message"),
    [
        (lambda start: iter(()), "gave no batch at step 0"),
        (lambda start: None, "failed at step 0: TypeError: 'NoneType' object is not iterable"),
        (lambda: iter(()), "failed at step 0: TypeError.*takes 0 positional arguments"),
        (lambda start: 1 / start, "failed at step 0: ZeroDivisionError"),
        (lambda start: iter(["text"]), "made of arrays and tensors, not 'text'"),
    ],
)
def test_what_is_no_stream_is_told_before_training(make_iterator: Any, message: str) -> None:
    with pytest.raises(HeredityError, match=message):
        opened(make_iterator)


# Studies --------------------------------------------------------------------------------


def shuffled(start: int) -> Iterator[Any]:
    for step in range(start, 10_000):
        some = np.random.default_rng([7, step]).choice(len(X), 16)
        yield X[some], Y[some]


def study(storage: Path, steps: int, executor: Any = None) -> hd.Result:
    return hd.Study(
        classifier(model=lambda: mlp(nn.Dropout(0.1)), data=ht.stream(shuffled)),
        Space(lr=LogUniform(1e-3, 1.0), momentum=hd.Uniform(0.0, 0.99)),
        objective=hd.maximize("accuracy"),
        population=4,
        interval=INTERVAL,
        budget=hd.Steps(steps),
        name="streamed",
        storage=storage,
        algorithm=hd.PBT(mode="sync"),
    ).run(executor, live="off")


def trained(result: hd.Result) -> list[Any]:
    return [trial.score for trial in result.trials if trial.kind == "train"]


def test_a_study_that_goes_on_is_the_uninterrupted_study(tmp_path: Path) -> None:
    straight = study(tmp_path / "straight", 40)
    study(tmp_path / "parted", 20)
    parted = study(tmp_path / "parted", 40)
    assert straight.best.score > 0.8
    assert trained(parted) == trained(straight)
    x = torch.ones(1, FEATURES, dtype=torch.float64)
    assert torch.equal(parted.best.load()(x), straight.best.load()(x))


def test_single_members_read_the_batches_of_the_population(tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", 20)
    apart = study(tmp_path / "apart", 20, hd.Inline())
    assert trained(apart) == trained(whole)
