"""The studies that this process serves: each one's log and desk, opened on first use and served by
one thread of its own.

A study's requests are carried out one after another, so what they share needs no lock. Nothing is
kept here that the store does not hold: any number of processes may serve the same studies, and
each may die at any moment. This file knows no HTTP.
"""

from __future__ import annotations

import asyncio
import os
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from heredity.checkpoints.local import LocalCheckpoints, point_best
from heredity.desk import Desk
from heredity.errors import Conflict, NotFound, did_you_mean
from heredity.evolution.definition import Definition
from heredity.evolution.trial import Checkpoint
from heredity.log import Log
from heredity.recipe import settings_of
from heredity.stores import folder_of, open_store
from heredity.stores.base import Store
from heredity.study import study_name

T = TypeVar("T")

BATCH = 64
"""Requests that are carried out before any of them is answered, at most."""

PROOF = ".folder-id"
"""A file in a study's folder, by which a worker finds out that it sees the same folder."""


@dataclass(frozen=True)
class OpenStudy:
    """A study in the hands of its thread."""

    name: str
    store: Store
    log: Log
    desk: Desk
    definition: Definition
    checkpoints: LocalCheckpoints
    folder: Path

    def close(self) -> None:
        """Leave nothing behind that is of use to this process alone."""
        self.checkpoints.remove_spares()


class Studies:
    """All studies of a storage, to be asked from one event loop.

    Args:
        storage: a folder, or the address of a database.
        folder: holds a folder of files for each study; by default beside the storage.
        lease_s: how long a worker may be silent before its trial is issued again.
    """

    def __init__(
        self, storage: str | Path, folder: Path | None = None, lease_s: float = 60.0
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._lease_s = lease_s
        self._store = open_store(storage)
        self._reader = self._store
        if str(storage) != ":memory:":
            self._reader = open_store(storage, read_only=True)
        self._clerks: dict[str, Clerk] = {}
        self._opening = asyncio.Lock()

    async def ask(self, study: str, act: Callable[[OpenStudy], T]) -> T:
        """What `act` makes of the study. `NotFound` if there is none of this name."""
        return await (await self._clerk(study)).ask(act)

    async def read(self, act: Callable[[Store], T]) -> T:
        """What `act` finds in the store, beside all that the studies do."""
        return await asyncio.to_thread(act, self._reader)

    async def names(self) -> Sequence[str]:
        """All studies, oldest first."""
        return await self.read(lambda store: store.studies())

    def close(self) -> None:
        """Carry out what was asked for, and let go of everything."""
        for clerk in self._clerks.values():
            clerk.close()
        self._reader.close()
        self._store.close()

    async def _clerk(self, study: str) -> Clerk:
        if clerk := self._clerks.get(study):
            return clerk
        async with self._opening:
            if study not in self._clerks:
                known = await self.names()
                if study_name(study) not in known:
                    raise NotFound(f"there is no study {study!r} here.{did_you_mean(study, known)}")
                self._clerks[study] = Clerk(study, partial(self._open, study))
            return self._clerks[study]

    def _open(self, study: str) -> OpenStudy:
        if holder := self._store.holder(study):
            raise Conflict(f"study {study!r} is being run by {holder}: stop that run first")
        log = Log(self._store, study)
        definition = Definition.from_json(log.population.definition)
        folder = folder_of(study, self._storage)
        if self._folder is not None:
            folder = self._folder.absolute() / study
        checkpoints = LocalCheckpoints(folder / "checkpoints")
        settings = settings_of(log.population.code)
        new_best = partial(_point_best, checkpoints)
        desk = Desk(log, definition, checkpoints, settings, self._lease_s, new_best)
        return OpenStudy(study, self._store, log, desk, definition, checkpoints, folder)


class Clerk:
    """The thread that serves one study. It opens the study when it is first asked something."""

    def __init__(self, name: str, opened: Callable[[], OpenStudy]) -> None:
        self._opened = opened
        self._asked: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=f"study {name}", daemon=True)
        self._thread.start()

    async def ask(self, act: Callable[[OpenStudy], T]) -> T:
        """What `act` makes of the study, or the error it raises."""
        loop = asyncio.get_running_loop()
        request = _Request(act, loop.create_future(), loop)
        self._asked.put(request)
        answer: T = await request.answer
        return answer

    def close(self) -> None:
        """End once all that was asked is answered."""
        self._asked.put(None)
        self._thread.join()

    def _serve(self) -> None:
        study: OpenStudy | None = None
        while batch := self._next_batch():
            for request in batch:
                try:
                    study = study or self._opened()
                    request.result = request.act(study)
                except Exception as error:
                    request.error = error
            batch[0].loop.call_soon_threadsafe(_deliver, batch)
        if study is not None:
            study.close()

    def _next_batch(self) -> list[_Request]:
        """The requests that wait, at least one; none at the end."""
        batch: list[_Request] = []
        request = self._asked.get()
        while request is not None:
            batch.append(request)
            if len(batch) == BATCH or self._asked.empty():
                return batch
            request = self._asked.get()
        self._asked.put(None)  # for the next round, which finds nothing but this
        return batch


@dataclass(slots=True)
class _Request:
    act: Callable[[OpenStudy], Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: Exception | None = None


def _deliver(batch: Sequence[_Request]) -> None:
    for request in batch:
        if request.answer.cancelled():  # whoever asked is gone
            continue
        if request.error is None:
            request.answer.set_result(request.result)
        else:
            request.answer.set_exception(request.error)


def proof_of(folder: Path) -> dict[str, str]:
    """The name and content of a file in `folder`, made at first, that nobody could guess."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PROOF
    if not path.exists():
        fresh = folder / f"{PROOF}.{secrets.token_hex(4)}"
        fresh.write_text(secrets.token_hex(16))
        try:
            os.link(fresh, path)  # whole, and only the first of several
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return {PROOF: path.read_text()}


def _point_best(checkpoints: LocalCheckpoints, best: Checkpoint) -> None:
    """Let the link `best` beside the checkpoints lead to the best one."""
    point_best(checkpoints.root.parent / "best", checkpoints.root / best.uri)
