"""A trainable that does to its worker what its hparams say. Plain Python: it starts at once.

Workers import this file by name; it therefore imports nothing that only tests need.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from heredity.trainables.trainable import Trainable


class Obedient(Trainable):
    """Counts the steps it has trained, and performs `hparams["act"]` while it trains.

    Its metrics are `score`, the count; `pid`; and `loads`, how often this object has loaded.
    """

    def prepare(self) -> None:
        self.loads = 0

    def setup(self, hparams: object, seed: int) -> None:
        self.count = 0

    def train(self, steps: int) -> int | None:
        act, _, argument = str(self.hparams["act"]).partition(":")
        done = getattr(self, f"_{act}")(argument)
        self.count += steps if done is None else done
        return done  # type: ignore[no-any-return]

    def evaluate(self) -> dict[str, float]:
        return {"score": self.count, "pid": os.getpid(), "loads": self.loads}

    def save(self, directory: Path) -> None:
        (directory / "count").write_text(str(self.count))

    def load(self, directory: Path) -> None:
        self.loads += 1
        self.count = int((directory / "count").read_text())

    # Acts ------------------------------------------------------------------------------

    def _count(self, _: str) -> None:
        pass

    def _report(self, _: str) -> None:
        """Report once, at the first step."""
        self.session.report(step=self.session.start, loss=0.5)

    def _raise(self, message: str) -> None:
        """Raise from what looks like a file of a user's own."""
        exec(compile(f"raise ValueError({message!r})", "user.py", "exec"))

    def _stop(self, _: str) -> int:
        """Train until asked to stop, and return that not a step was done."""
        pause = threading.Event()
        while not self.session.stop_requested:
            pause.wait(0.001)
        return 0

    def _signal(self, name: str) -> None:
        """Die by a signal, as a crash in native code or a lack of memory would have it."""
        os.kill(os.getpid(), signal.Signals[name])
        threading.Event().wait()

    def _exit(self, code: str) -> None:
        os._exit(int(code))

    def _hang(self, path: str) -> None:
        """Tell a FIFO, if one is given, the numbers of this and of a child process; never end."""
        sleeper = subprocess.Popen(["sleep", "1000"])
        if path:
            Path(path).write_text(f"{os.getpid()} {sleeper.pid}")
        threading.Event().wait()

    def _write(self, text: str) -> None:
        """Print, to both streams, here and from a child process."""
        print(text)
        print(text, file=sys.stderr)
        subprocess.run(["echo", f"echo {text}"], check=True)

    def _meet(self, path: str) -> None:
        """Read a FIFO: ends once another trial writes to it."""
        Path(path).read_text()

    def _greet(self, path: str) -> None:
        """Write to a FIFO: ends once another trial reads it."""
        Path(path).write_text("hello")
