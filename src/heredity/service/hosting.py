"""A worker's part in one study: what it runs, where its files lie, and the executor that runs it.

It finds out whether it sees the service's folder; if not, checkpoints travel over HTTP. This file
puts the pieces together and decides nothing about trials.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heredity.checkpoints.base import CheckpointStore
from heredity.checkpoints.local import LocalCheckpoints
from heredity.describe import rebuild
from heredity.errors import UsageError
from heredity.executors.base import Workload
from heredity.executors.processes import Processes
from heredity.recipe import trainable_of
from heredity.service.client import PATIENCE_S, Client, Refused
from heredity.service.names import own_name
from heredity.service.private import private_folder, scratch
from heredity.service.transfer import RemoteCheckpoints
from heredity.service.wire import Recipe
from heredity.service.worker import PullWorker
from heredity.signals import graceful
from heredity.space import Space

Checkpoints = Literal["auto", "shared", "sent"]
"""How checkpoints reach the service: through a folder that both see, or over HTTP."""

LOOK_AGAIN_S = 10.0
"""After how long a study that others run is asked for again."""

CHECKPOINTS: tuple[Checkpoints, ...] = ("auto", "shared", "sent")


@dataclass(frozen=True)
class Worker:
    """A worker of the service at `url`.

    Attributes:
        slots: trials at once, each in a process of its own; by default one a GPU, else a core.
        name: stable over restarts; by default made of the host's name.
        checkpoints: "auto" finds out whether the service's folder is seen here.
        folder: where this worker's own files lie; by default a temporary one.
        patience_s: how long to go on while the service is away.
        say: told what a person may want to know.
    """

    url: str
    token: str | None = None
    slots: int | None = None
    name: str | None = None
    checkpoints: Checkpoints = "auto"
    folder: Path | None = None
    patience_s: float = PATIENCE_S
    say: Callable[[str], None] = lambda text: None

    def run(self, study: str | None = None) -> None:
        """Run trials of `study`, or of one study after another, until all have ended.

        Of several, one that the service may not touch, since somebody runs it elsewhere, is left
        until it is free. Raises `Unreachable` when the service stays away, and `UsageError` for a
        study whose trials cannot be run here.
        """
        with ExitStack() as opened:
            client = Client(self.url, self.token, patience_s=self.patience_s)
            opened.callback(client.close)
            name = self.name or opened.enter_context(own_name(self.url))
            if study:
                self._work(client, study, name)
            else:
                self._work_on_all(client, name)

    def _work_on_all(self, client: Client, name: str) -> None:
        told = threading.Event()
        left = client.studies()
        if not left:
            self.say(f"{self.url} serves no study yet: start it as `heredity serve study.toml`")
        known: set[str] = set()
        while left:
            refused = []
            for study in left:
                try:
                    if self._work(client, study, name):
                        return
                except Refused as error:
                    refused.append(study)
                    if study not in known:
                        self.say(f"{error}; looking again every {LOOK_AGAIN_S:g} s")
            left = refused
            known.update(refused)
            with graceful(told.set):
                if left and told.wait(LOOK_AGAIN_S):
                    return

    def _work(self, client: Client, study: str, name: str) -> bool:
        """Work on one study until it ends; whether a signal ended it before."""
        if client.summary(study).status == "ended":
            return False
        recipe = client.recipe(study)
        with ExitStack() as opened:
            executor = Processes(self.slots)
            opened.callback(executor.close)
            executor.open(self._workload(recipe, study, opened))
            self.say(f"{name} works on {study}: {executor.slots} at once")
            worker = PullWorker(
                client,
                study,
                name,
                executor,
                beat_s=recipe.beat_s,
                say=self.say,
                patience_s=self.patience_s,
            )
            with graceful(worker.stop):
                worker.run()
            self.say(f"{name} ran {worker.trials:,} trials of {study}, which is {worker.status}")
            return worker.stopping

    def _workload(self, recipe: Recipe, study: str, opened: ExitStack) -> Workload:
        space = rebuild(recipe.space)
        if not isinstance(space, Space):
            raise UsageError(f"the service describes no space: {recipe.space!r:.80}")
        checkpoints, logs = self._places(recipe, study, opened)
        return Workload(
            trainable=trainable_of(recipe.workload),
            checkpoints=checkpoints,
            logs=logs,
            metric=recipe.metric,
            names=space.names,
            interpolate=space.interpolate,
        )

    def _places(
        self, recipe: Recipe, study: str, opened: ExitStack
    ) -> tuple[CheckpointStore, Path]:
        """Where checkpoints and logs go."""
        shared = Path(recipe.folder)
        if self.checkpoints == "shared" or (self.checkpoints == "auto" and sees(recipe)):
            if not sees(recipe):
                raise UsageError(
                    f"this worker does not see the service's folder {shared}, or may not write "
                    f"there: mount it at the same path, or leave --checkpoints out to send them"
                )
            return LocalCheckpoints(shared / "checkpoints"), shared / "logs"
        mine = self.folder and self.folder.absolute() / study
        place = opened.enter_context(scratch(mine or private_folder("heredity-workers")))
        remote = RemoteCheckpoints(self.url, study, place, self.token, self.patience_s)
        return remote, (mine or place) / "logs"


def sees(recipe: Recipe) -> bool:
    """Whether the folder of that name here is the service's, and may be written to."""
    folder = Path(recipe.folder)
    try:
        same = all((folder / name).read_text() == text for name, text in recipe.proof.items())
    except OSError:
        return False
    return same and bool(recipe.proof) and os.access(folder, os.W_OK)
