"""Contestant: a bare PyTorch loop, one core, one member after another; nothing is saved.

With `workers` > 1 as many such loops run side by side and share the members: what the machine
itself gives to processes that never have to wait for each other.
"""

from __future__ import annotations

import time
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import numpy as np
import torch
from contestant import Load, Outcome, answer, told
from digits import LR, MOMENTUM, Digits, accuracy, build, read_digits, train

_barrier: Barrier | None = None
"""Where the loops of a pool wait for each other before the clock starts."""


def main() -> None:
    load = told()
    if load.workers == 1:
        spans = [share(load, 0, None)]
    else:
        context = get_context("spawn")
        barrier = context.Barrier(load.workers)
        with context.Pool(load.workers, initializer=_keep, initargs=(barrier,)) as pool:
            spans = pool.starmap(_share, [(load, n) for n in range(load.workers)], chunksize=1)
    began, ended, best, count = zip(*spans, strict=True)
    versions = {"torch": str(torch.__version__)}
    answer(Outcome(max(ended) - min(began), max(best), sum(count), versions))


def share(load: Load, number: int, barrier: Barrier | None) -> tuple[float, float, float, int]:
    """Train every `workers`-th member: when it began and ended, best accuracy, evaluations."""
    torch.set_num_threads(1)
    digits = read_digits(load.data)
    if barrier is not None:
        barrier.wait()
    began = time.monotonic()
    scores = [run_member(load, member, digits) for member in _members(load, number)]
    return began, time.monotonic(), max(scores), len(scores) * load.trials


def run_member(load: Load, member: int, digits: Digits) -> float:
    """Train one member to the end, measuring it after every interval; its last accuracy."""
    rng = np.random.default_rng([load.seed, member])
    lr = float(np.exp(rng.uniform(*np.log(LR))))
    torch.manual_seed(int(rng.integers(2**31)))
    model, optimizer = build(lr, float(rng.uniform(*MOMENTUM)))
    score = 0.0
    for _ in range(load.trials):
        train(model, optimizer, digits, load.interval)
        score = accuracy(model, digits)
    return score


def _members(load: Load, number: int) -> range:
    return range(number, load.members, load.workers)


def _keep(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _share(load: Load, number: int) -> tuple[float, float, float, int]:
    return share(load, number, _barrier)


if __name__ == "__main__":
    main()
