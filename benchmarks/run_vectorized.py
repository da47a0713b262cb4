"""Contestant: heredity, a population as one program. Log and checkpoints on disk, collection and
live view on. Variants: "jax", with the very functions of the hand-written reference, and "torch".

The study is timed from outside: its program is wrapped in one that looks at the clock. Time runs
from the second round's scores to the last one's record in the log, so a checkpoint that is still
being written at the end is waited for.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from population import Figures, Work, answer, told

import heredity as hd
from heredity.evolution.events import Event

LR, MOMENTUM = (1e-3, 0.3), (0.0, 0.95)
A_DAY = hd.Seconds(86_400)
"""The study is stopped as by Ctrl-C long before, and finishes what it is at. Without a number of
steps in its budget, members may exploit after every round."""


WARM_UPS = 2
"""Rounds that are not counted: the first takes nobody over, the second is the first that may."""


class Watch:
    """Looks at the clock whenever a round begins or ends, and ends the study in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.made = time.perf_counter()
        self.first_s = self.began = self.ended = self.ready = self.idle_s = 0.0
        self.rounds = -WARM_UPS

    def finished(self) -> None:
        """The device has the results of a round."""
        self.ready = time.perf_counter()
        self.first_s = self.first_s or self.ready - self.made
        self.rounds += 1
        if self.rounds == 0:
            self.began = self.ready
        if self.rounds > 0 and self.ready - self.began > self.seconds > 0:
            self.seconds = 0.0
            signal.raise_signal(signal.SIGINT)

    def busy_again(self) -> None:
        """The device has work for another round."""
        if self.rounds >= 0:
            self.idle_s += time.perf_counter() - self.ready

    def __call__(self, event: Event) -> None:
        """An event is in the log."""
        self.ended = time.perf_counter()


class Watched:
    """A `VectorTrainable` whose program is watched."""

    def __init__(self, inner: Any, backend: Any, watch: Watch) -> None:
        self._inner, self._backend, self._watch = inner, backend, watch

    def program(self, chunk: Any = "auto", devices: int | None = None) -> Any:
        program = self._inner.program(chunk, devices)
        self._backend.program = program
        return WatchedProgram(program, self._backend, self._watch)

    def single(self, setting: Any) -> Callable[[], Any]:
        return self._inner.single(setting)  # type: ignore[no-any-return]


class WatchedProgram:
    """A `VectorProgram` that tells when the device gets work and when it has done it."""

    def __init__(self, inner: Any, backend: Any, watch: Watch) -> None:
        self._inner, self._backend, self._watch = inner, backend, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def start(self, round: Any) -> None:
        self._backend.start(round, self._watch)

    def finish(self) -> Any:
        self._backend.wait()
        self._watch.finished()
        return self._inner.finish()

    def close(self) -> None:
        self._backend.measure()
        self._inner.close()


class Jax:
    """The reference's functions as a `VectorTrainable` of `heredity.jax`.

    The device counts as idle until the round's program is called: take-overs are the host's.
    """

    program: Any
    peak_bytes: int | None = None

    def __init__(self, work: Work) -> None:
        import jax
        import reference_jax as reference

        import heredity.jax as hj

        self.jax, self.reference, self.interval = jax, reference, work.interval
        self.train, self.held = reference.read_digits(work.data)
        data = hj.batches(self.train, reference.BATCH_SIZE, replace=True)
        self.trainable = hj.VectorTrainable(self.init, self.step, self.evaluate, data)

    def init(self, key: Any, hparams: Mapping[str, Any]) -> Any:
        return self.reference.init(key)

    def step(self, state: Any, hparams: Mapping[str, Any], batch: Any, key: Any) -> Any:
        return self.reference.step(state, hparams, batch)

    def evaluate(self, state: Any, hparams: Mapping[str, Any], key: Any) -> Any:
        return self.reference.accuracy(state, self.held)

    def start(self, round: Any, watch: Watch) -> None:
        known = self.program._rounds_of
        compiled = known[self.interval]

        def noted(*arguments: Any) -> Any:
            watch.busy_again()
            return compiled(*arguments)

        known[self.interval] = noted
        try:
            self.program.start(round)
        finally:
            known[self.interval] = compiled

    def wait(self) -> None:
        self.jax.block_until_ready(self.program._running[0])

    def measure(self) -> None:
        program = self.program._rounds_of[self.interval].compiled
        self.peak_bytes = self.reference.peak_bytes(program)

    @property
    def facts(self) -> tuple[str, dict[str, str]]:
        return self.jax.devices()[0].device_kind, {"jax": self.jax.__version__}


class Torch:
    """The same network as a `VectorTrainable` of `heredity.torch`.

    Steps run, or are queued one by one, within `start`: the device is idle until it is called.
    """

    program: Any
    peak_bytes: int | None = None

    def __init__(self, work: Work) -> None:
        import digits
        import reference_torch
        import torch

        import heredity.torch

        self.torch, self.device = torch, reference_torch.device_of(work)
        self.name = reference_torch.device_name(self.device)
        read = digits.read_digits(work.data)
        data = read.inputs.to(self.device), read.labels.to(self.device)
        held = read.held_inputs.to(self.device), read.held_labels.to(self.device)
        self.memory = reference_torch.Memory(self.device)
        entropy = torch.nn.functional.cross_entropy
        self.trainable = heredity.torch.VectorTrainable(
            lambda: digits.build(0.1, 0.9)[0],
            lambda model, batch, hparams: entropy(model(batch[0]), batch[1]),
            heredity.torch.SGD(lr="lr", momentum="momentum"),
            heredity.torch.batches(data, digits.BATCH_SIZE, replace=True),
            lambda model, hparams: (model(held[0]).argmax(1) == held[1]).float().mean(),
        )

    def start(self, round: Any, watch: Watch) -> None:
        watch.busy_again()
        self.program.start(round)

    def wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def measure(self) -> None:
        self.peak_bytes = self.memory.peak_bytes

    @property
    def facts(self) -> tuple[str, dict[str, str]]:
        return self.name, {"torch": str(self.torch.__version__)}


def main() -> None:
    work = told()
    backend = {"jax": Jax, "torch": Torch}[work.variant](work)
    watch = Watch(work.seconds)
    result = study_of(work, Watched(backend.trainable, backend, watch)).run(on_event=watch)
    device, versions = backend.facts
    answer(
        Figures(
            rounds=watch.rounds,
            seconds=watch.ended - watch.began,
            first_round_s=watch.first_s,
            accuracy=result.best.score,
            peak_bytes=backend.peak_bytes,
            idle_s=watch.idle_s,
            device=device,
            versions={"heredity": hd.__version__, **versions},
        )
    )


def study_of(work: Work, trainable: Any) -> hd.Study:
    """Truncation and perturbation as `hd.PBT()` does them. No finalist is measured again."""
    return hd.Study(
        trainable,
        hd.Space(lr=hd.LogUniform(*LR), momentum=hd.Uniform(*MOMENTUM)),
        objective=hd.maximize("accuracy"),
        population=work.members,
        interval=work.interval,
        budget=A_DAY,
        name="digits",
        storage=work.folder,
        seed=work.seed,
        final_evaluations=0,
    )


if __name__ == "__main__":
    main()
