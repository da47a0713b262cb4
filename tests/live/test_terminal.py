"""The live view in a real terminal: tmux draws it, and what it shows is read back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]

SCRIPT = """
import sys
from pathlib import Path
import heredity as hd

go = Path(sys.argv[1])

class Climb(hd.Trainable):
    def setup(self, hparams, seed):
        self.height = 0.0
    def configure(self, hparams):
        self.rate, self.depth = hparams["rate"], hparams["depth"]
    def train(self, steps):
        print("the training prints this")
        self.height += steps * self.rate
        if self.session.trial == 17:
            open(go).read()
    def evaluate(self):
        return self.height
    def save(self, directory):
        (directory / "height").write_text(repr(self.height))
    def load(self, directory):
        self.height = float((directory / "height").read_text())

study = hd.Study(
    Climb, hd.Space(rate=hd.Uniform(0.1, 1.0), depth=hd.Integer(1, 9)),
    objective=hd.maximize("height"), population=12, interval=10, budget=hd.Steps(20),
    name="climb", storage=sys.argv[2], final_evaluations=0,
)
if __name__ == "__main__":
    study.run(hd.Processes(1))
    print("the end")
"""


COMPILED = """
import sys
import heredity as hd
import heredity.jax

waited = []

def step(state, hparams, batch, key):
    if not waited:  # while it is traced
        waited.append(open(sys.argv[1]).read())
    return state * hparams["rate"]

study = hd.Study(
    heredity.jax.VectorTrainable(lambda key, hparams: 1.0, step, lambda state, hparams, key: state),
    hd.Space(rate=hd.Uniform(0.5, 1.0)), objective=hd.maximize("height"),
    population=4, interval=10, budget=hd.Steps(20), name="compiled", storage=sys.argv[2],
)
study.run()
print("the end")
"""


class Tmux:
    """A terminal of its own, of a given size."""

    def __init__(self, width: int, height: int, command: str) -> None:
        self._socket = f"heredity-{uuid.uuid4().hex}"
        size = ["-x", str(width), "-y", str(height)]
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, f"{command}; exec cat")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-L", self._socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def wait_for(self, seen: str, limit_s: int = 60) -> str:
        """The screen, once it shows `seen`."""
        waiting = (
            f"until tmux -L {self._socket} capture-pane -p | grep -qF '{seen}'; do sleep 0.1; done"
        )
        try:
            subprocess.run(["timeout", str(limit_s), "bash", "-c", waiting], check=True)
        except subprocess.CalledProcessError:
            pytest.fail(f"{seen!r} never came; the screen shows:\n{self.screen()}")
        return self.screen()

    def screen(self) -> str:
        """What the screen shows now."""
        return self._tmux("capture-pane", "-p")

    def everything(self) -> str:
        """The screen and what was scrolled off it."""
        return self._tmux("capture-pane", "-p", "-S", "-")

    def close(self) -> None:
        """End the terminal and what runs in it."""
        self._tmux("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Tmux]]:
    """Opens terminals that run a script, which waits for `go` to be written: `SCRIPT` does in its
    trial 17."""
    opened: list[Tmux] = []
    script, go, runs = tmp_path / "script.py", tmp_path / "go", tmp_path / "runs"
    os.mkfifo(go)

    def open_one(width: int, height: int, text: str = SCRIPT) -> Tmux:
        script.write_text(text)
        # readline, which pytest imports, tells its children that they have 80 columns.
        command = f"env -u COLUMNS -u LINES LANG=C.UTF-8 {sys.executable} {script} {go} {runs}"
        opened.append(Tmux(width, height, command))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20)])
def test_it_shows_the_population_while_it_trains_and_stays_at_the_end(
    width: int, height: int, tmp_path: Path, terminal: Callable[..., Tmux]
) -> None:
    screen = terminal(width, height)
    during = screen.wait_for("training")
    assert "climb  running" in during
    during = screen.wait_for("14 of 20 steps")
    rows = [line for line in during.splitlines() if line.strip("★ ")[:2].strip().isdigit()]
    assert [int(row.strip("★ ").split()[0]) for row in rows] == list(range(12))
    assert sum(row.lstrip().startswith("★") for row in rows) == 1
    assert "the training prints this" not in during
    (tmp_path / "go").write_text("")
    screen.wait_for("the end")
    after = screen.everything()
    assert "climb  ended" in after
    assert after.count("climb  ") == 1
    assert "100%" in after


def test_a_population_in_one_program_is_compiling_before_it_trains(
    tmp_path: Path, terminal: Callable[..., Tmux]
) -> None:
    screen = terminal(80, 24, COMPILED)
    assert "running" not in screen.wait_for("compiled  compiling")
    (tmp_path / "go").write_text("")
    screen.wait_for("the end")
    after = screen.everything()
    assert "compiled  ended" in after
    assert "compiling" not in after
