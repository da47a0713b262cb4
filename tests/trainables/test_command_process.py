"""Programs and process groups: what was started ends, in every way that a trial can end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from command_bench import PATIENCE_S, gone

from heredity.errors import TrainingError
from heredity.testing.paths import weird_folder
from heredity.trainables.command.process import Ended, run_program


class Run:
    """A program's end, and what it wrote."""

    def __init__(self, words: list[str], cwd: Path, **options: Any) -> None:
        self.heard = {"out": b"", "err": b""}
        self.ended = run_program(words, cwd=cwd, variables={}, hear=self._hear, **options)

    def _hear(self, stream: str, data: bytes) -> None:
        self.heard[stream] += data


def sh(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *arguments]


def fifo_in(folder: Path) -> str:
    os.mkfifo(folder / "fifo")
    return str(folder / "fifo")


def told_of(fifo: str) -> list[int]:
    return [int(word) for word in Path(fifo).read_text().split()]


HANG = 'sleep 1000 & echo $$ $! > "$1"; wait'
"""Tells a FIFO the numbers of two processes that never end."""


# Running -------------------------------------------------------------------------------


def test_its_code_its_output_and_its_folder(tmp_path: Path) -> None:
    folder = weird_folder(tmp_path)
    run = Run(sh('pwd; echo "$1" >&2; exit 3', "a  b"), folder)
    assert run.ended == Ended(3, told=False)
    assert run.ended.manner == "with exit code 3"
    assert run.heard == {"out": f"{folder}\n".encode(), "err": b"a  b\n"}


def test_a_lot_of_output_is_heard_whole(tmp_path: Path) -> None:
    run = Run(sh("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"), tmp_path)
    assert {stream: len(data) for stream, data in run.heard.items()} == {
        "out": 3_000_000,
        "err": 3_000_000,
    }


def test_it_reads_nothing_and_runs_in_a_group_of_its_own(tmp_path: Path) -> None:
    program = "import os, sys; print(sys.stdin.read() == '', os.getpgrp())"
    nothing, group = Run([sys.executable, "-S", "-c", program], tmp_path).heard["out"].split()
    assert nothing == b"True"
    assert int(group) != os.getpgrp()


def test_a_death_by_signal_is_named(tmp_path: Path) -> None:
    assert Run(sh("kill -SEGV $$"), tmp_path).ended.manner == "by SIGSEGV"


def test_python_programs_hold_no_line_back(tmp_path: Path) -> None:
    program = "import os; print('seen'); os._exit(0)"
    assert Run([sys.executable, "-c", program], tmp_path).heard["out"] == b"seen\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing_of_this_name", "give a program on the PATH"),
        ("./plain", "make it executable with chmod"),
        ("./unknown", "does it begin with a line such as #!/bin/sh?"),
    ],
)
def test_what_cannot_be_started_says_why(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "unknown").write_text("hello\n")
    (tmp_path / "unknown").chmod(0o755)
    with pytest.raises(TrainingError) as caught:
        Run([name], tmp_path)
    assert said in str(caught.value)
    assert name in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"there is no folder .*nowhere"):
        Run(sh("true"), tmp_path / "nowhere")


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    Run(sh("true"), tmp_path)
    with pytest.raises(TrainingError):
        Run(["nothing_of_this_name"], tmp_path)
    assert sorted(os.listdir("/proc/self/fd")) == before


# Ending --------------------------------------------------------------------------------


ESCAPES = """
import os, sys
os.setsid()
answers = os.open(sys.argv[2], os.O_WRONLY)
os.write(answers, b"ready\\n")
asked = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(1000):
    if os.read(asked, 1):
        os.write(1, b"more")
        os.write(answers, b"x")
"""
"""Leaves its process group, and writes more whenever it is asked to."""


def test_what_it_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """Also what ignores every request, and keeps the output open."""
    run = Run(sh("(trap '' TERM HUP; exec sleep 1000) & echo $!"), tmp_path)
    assert run.ended.code == 0
    assert gone(int(run.heard["out"]))


def test_who_left_the_group_and_goes_on_writing_holds_nothing_up(tmp_path: Path) -> None:
    """Whatever is heard of it once the program has ended, there is more by then."""
    fifos = [str(tmp_path / name) for name in ("asked", "answers")]
    for fifo in fifos:
        os.mkfifo(fifo)
    heard: list[bytes] = []
    open_fifos: list[int] = []

    def hear(stream: str, data: bytes) -> None:
        heard.append(data)
        if not open_fifos:
            assert gone(int(data))
            open_fifos.extend(map(os.open, fifos, (os.O_WRONLY, os.O_RDONLY)))
        asked, answers = open_fifos
        with contextlib.suppress(BrokenPipeError):  # it has said all it had to
            os.write(asked, b"x")
            os.read(answers, 1)

    script = '"$1" -S -c "$2" "$3" "$4" & read -r _ < "$4"; echo $$'
    words = sh(script, sys.executable, ESCAPES, *fifos)
    ended = run_program(words, cwd=tmp_path, variables={}, hear=hear)
    for file in open_fifos:
        os.close(file)
    assert ended.code == 0
    assert heard[1:] in ([], [b"more"])


def test_an_exception_ends_it_too(tmp_path: Path) -> None:
    heard = b""

    def hear(stream: str, data: bytes) -> None:
        nonlocal heard
        heard += data
        if heard.endswith(b"\n"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_program(sh("sleep 1000 & echo $$ $!; wait"), cwd=tmp_path, variables={}, hear=hear)
    assert gone(*map(int, heard.split()))


class Stop:
    """Asks to stop once the program has said that it is ready."""

    def __init__(self) -> None:
        self.ready = threading.Event()

    def hear(self, stream: str, data: bytes) -> None:
        self.ready.set()


def stopped(script: str, cwd: Path, grace_s: float = PATIENCE_S) -> tuple[Ended, float]:
    stop, began = Stop(), time.monotonic()
    ended = run_program(
        sh(script),
        cwd=cwd,
        variables={},
        hear=stop.hear,
        stop_requested=stop.ready.is_set,
        grace_s=grace_s,
    )
    return ended, time.monotonic() - began


def test_it_may_save_when_it_is_told_to_stop(tmp_path: Path) -> None:
    script = "trap 'echo state > saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done"
    assert stopped(script, tmp_path)[0] == Ended(0, told=True)
    assert (tmp_path / "saved").read_text() == "state\n"


def test_what_a_told_shell_has_started_may_save_too(tmp_path: Path) -> None:
    """The shell dies of SIGTERM at once; what it started takes its time."""
    slow = (
        "trap 'sleep 0.3; echo state > saved; exit' TERM; echo ready; while :; do sleep 0.01; done"
    )
    assert stopped(f'sh -c "{slow}"; true', tmp_path)[0].told
    assert (tmp_path / "saved").read_text() == "state\n"


def test_who_does_not_stop_is_killed(tmp_path: Path) -> None:
    ended, elapsed_s = stopped("trap '' TERM; echo ready; sleep 1000", tmp_path, grace_s=0.3)
    assert ended == Ended(-signal.SIGKILL, told=True)
    assert 0.3 <= elapsed_s < PATIENCE_S


def test_one_that_was_never_told_is_not_said_to_be(tmp_path: Path) -> None:
    assert Run(sh("true"), tmp_path, stop_requested=lambda: False).ended == Ended(0, told=False)


# The death of whoever runs it -----------------------------------------------------------

WORKER = """
import sys
from pathlib import Path
from heredity.trainables.command.process import run_program
run_program(sys.argv[1:], cwd=Path.cwd(), variables={}, hear=lambda stream, data: None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
@pytest.mark.parametrize("deaf", [False, True])
def test_it_ends_with_whoever_runs_it(tmp_path: Path, number: signal.Signals, deaf: bool) -> None:
    fifo = fifo_in(tmp_path)
    script = ("trap '' TERM; " if deaf else "") + HANG
    worker = subprocess.Popen([sys.executable, "-c", WORKER, *sh(script, fifo)])
    with worker:
        program, child = told_of(fifo)
        guard = os.getpgid(program)
        worker.send_signal(number)
    assert gone(program, child, guard)


def test_a_program_that_is_told_by_the_guard_may_clean_up(tmp_path: Path) -> None:
    fifo = fifo_in(tmp_path)
    script = 'trap "echo clean > cleaned; exit" TERM; ' + HANG
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *sh(script, fifo)], cwd=tmp_path
    ) as worker:
        pids = told_of(fifo)
        worker.kill()
    assert gone(*pids)
    assert (tmp_path / "cleaned").read_text() == "clean\n"
