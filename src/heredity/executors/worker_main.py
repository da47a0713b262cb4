"""What a worker process runs: take up the workload, then run task after task until the driver goes.

The main thread reads tasks and sends reports; a second thread reads stop requests, and its end of
file, when the driver is gone however it went, ends this process and all it has started. It imports
no more than the trial needs, for that is what starting a worker costs.
"""

from __future__ import annotations

import faulthandler
import functools
import io
import json
import os
import signal
import sys
import threading
from types import FrameType

from heredity.errors import UsageError
from heredity.executors import wire
from heredity.executors.base import Task
from heredity.executors.output import TrialOutput
from heredity.executors.shipping import unpack
from heredity.executors.worker import Worker


def main(settings: str) -> None:
    """Be the worker that `settings` (JSON) describe."""
    told = json.loads(settings)
    sys.argv = told["argv"]
    link, stops = told["link"], told["stops"]
    _end_together(told["driver"], link, stops)
    _leave_last_words()
    stopping = _Stopping()
    threading.Thread(target=stopping.listen, args=(stops,), daemon=True).start()
    try:
        workload = unpack(_read(told["payload"]))
    except UsageError as error:
        wire.send(link, wire.Refused(str(error)))
        raise
    _serve(Worker(workload, name=told["name"], device=told["device"]), link, stopping)


def _serve(worker: Worker, link: int, stopping: _Stopping) -> None:
    emit = functools.partial(wire.send, link)
    output = TrialOutput(worker.workload.logs)
    emit(wire.Ready())
    for task in wire.receive(link):
        with output.of(task.trial.id):
            report = worker.run(task, emit, functools.partial(stopping.means, task))
        emit(report)


class _Stopping:
    """The attempt that was last asked to end early."""

    def __init__(self) -> None:
        self._asked: tuple[int, int] | None = None

    def means(self, task: Task) -> bool:
        return self._asked == (task.trial.id, task.trial.attempt)

    def listen(self, stops: int) -> None:
        """Take requests until the driver is gone, then end everything here."""
        for self._asked in wire.receive_stops(stops):
            pass
        os.killpg(0, signal.SIGKILL)


def _leave_last_words() -> None:
    """Lose no output in a crash: print the stack, and keep no finished line back."""
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _read(payload: int) -> bytes:
    """All of a file that other workers read too, hence without moving its common position."""
    data = os.pread(payload, os.fstat(payload).st_size, 0)
    os.close(payload)
    return data


# Ending well -------------------------------------------------------------------------------

_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGTERM, signal.SIGHUP)


def _end_together(driver: int, *descriptors: int) -> None:
    """End when told to and when the driver has died, with all that was started here.

    A process forked here must not keep the driver's `descriptors` open, since their end of file is
    how the driver learns of this worker's death; nor may it end its parent when it is ended itself.
    """
    signal.signal(signal.SIGTERM, _end_group)
    signal.signal(signal.SIGHUP, functools.partial(_end_orphan, driver))
    # Blocked meanwhile: Python forgets signals that come to a child it has only just forked.
    os.register_at_fork(
        before=functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK, _HANDLED),
        after_in_parent=functools.partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _HANDLED),
        after_in_child=functools.partial(_become_ordinary, descriptors),
    )
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    _hear_of_death_of_parent()
    if os.getppid() != driver:  # it died before it could be heard of
        os.killpg(0, signal.SIGKILL)


def _end_group(signum: int, frame: FrameType | None) -> None:
    signal.signal(signum, signal.SIG_DFL)
    os.killpg(0, signum)


def _end_orphan(driver: int, signum: int, frame: FrameType | None) -> None:
    """The thread that started this process is gone; end if its whole process is."""
    if os.getppid() != driver:
        os.killpg(0, signal.SIGKILL)


def _become_ordinary(descriptors: tuple[int, ...]) -> None:
    for signum in _HANDLED:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    for descriptor in descriptors:
        os.close(descriptor)


def _hear_of_death_of_parent() -> None:
    """Ask Linux for SIGHUP when the parent dies: it comes even while a fork of the driver keeps
    the pipe of stop requests open."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP, 0, 0, 0)
