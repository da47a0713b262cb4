"""One run of a command's program: described to it, started, heard, and its metrics found.

What the program prints goes on to this process's own output, which is the trial's log, below the
line that started it. This file knows nothing of what makes a trial.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heredity.errors import TrainingError
from heredity.trainables.command import VARIABLE, Command
from heredity.trainables.command.output import Found, Measured, Output, found_in
from heredity.trainables.command.process import Ended, Stream, run_program
from heredity.trainables.command.template import Template, fill
from heredity.trainables.tracked import TrackedHparams


@dataclass(frozen=True)
class Ran:
    """What came of a run.

    Attributes:
        step: the last step that the program spoke of.
        tail: the last lines of its output.
        elsewhere: said of a failure: that it ran in another folder than its home.
    """

    ended: Ended
    found: Found
    step: int | None
    tail: str
    elsewhere: str = ""

    def require(self, good: object, why: str) -> None:
        """`TrainingError` with the end of the output, unless `good`."""
        if not good:
            raise TrainingError(why, remote_traceback=self.tail)

    def require_success(self) -> None:
        """`TrainingError` unless the program ended well."""
        last = self.tail.rpartition("\n")[2].strip()
        said = f": {last}" if last else " and said nothing"
        why = f"the program ended {self.ended.manner}{said}{self.elsewhere}"
        self.require(not self.ended.code, why)

    def require_score(self) -> None:
        """`TrainingError` unless the score was found."""
        self.require(not self.found.missing, self.found.missing)

    def diverged(self, metric: str) -> bool:
        """Whether the score was found and is not finite."""
        return not math.isfinite(self.found.metrics.get(metric, 0.0))


@dataclass(frozen=True)
class Invocation:
    """A run to be.

    Attributes:
        told: what placeholders stand for, but {work}, {python} and the hparams.
        hparams: those that the program is told count as used.
        metric: the score's name.
    """

    command: Command
    template: Template
    told: Mapping[str, Any]
    hparams: TrackedHparams
    metric: str

    def run(
        self,
        measured: Measured = lambda step, metrics: None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> Ran:
        """Run the program to its end. `measured` is called for scores that come with a step."""
        output = Output(self.metric, self.command.patterns, self.command.step_pattern, measured)

        def hear(stream: Stream, data: bytes) -> None:
            _pass_on(stream, data)
            output.feed(stream, data)

        with tempfile.TemporaryDirectory(prefix="heredity-") as scratch:
            own = {**self.told, "work": f"{scratch}/work", "python": sys.executable}
            description = self._describe(own, Path(scratch))
            values = self._values(own)
            base, elsewhere = _base(self.command.home)
            cwd = base / fill(self.command.folder, values)
            file = self._metrics_file(cwd, values)
            words = self.template.filled(values)
            _pass_on("out", f"$ {shlex.join(words)}\n".encode())
            ended = run_program(
                words,
                cwd=cwd,
                variables={VARIABLE: str(description)},
                hear=hear,
                stop_requested=stop_requested,
                grace_s=self.command.grace_s,
                elsewhere=elsewhere,
            )
            output.close()
            found = output.found if file is None else found_in(file, self.metric)
            return Ran(ended, found, output.step, output.tail, elsewhere)

    def _describe(self, own: Mapping[str, Any], scratch: Path) -> Path:
        """Make the folder {work} and, beside it, the JSON file for programs that read it."""
        Path(own["work"]).mkdir()
        file = scratch / "trial.json"
        file.write_text(json.dumps({"hparams": self.hparams.peek(), **own}))
        return file

    def _values(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What placeholders stand for. An hparam is read, so counts as used, if it is in use."""
        hparams = self.hparams.peek()
        used = self.template.names(own["restore"] is not None) & hparams.keys()
        read = {name: self.hparams[name] for name in (hparams if self.command.reads_json else used)}
        return {**hparams, **read, **own}

    def _metrics_file(self, cwd: Path, values: Mapping[str, Any]) -> Path | None:
        """The file that the program is to write; one that is there already speaks of others."""
        if self.command.metrics_file is None:
            return None
        file = cwd / fill(self.command.metrics_file, values)
        file.unlink(missing_ok=True)
        return file


def _base(home: str | Path | None) -> tuple[Path, str]:
    """The folder that relative ones are relative to and, if that is not `home`, what to say of it.

    Workers on other machines get a study's command, but not the folder that its program lies in.
    """
    here = Path.cwd()
    if home is None or (base := here / home).is_dir():
        return (here if home is None else base), ""
    return here, (
        f". The command's own folder, {str(base)!r}, is not on this machine, so that in which the "
        f"worker was started, {str(here)!r}, takes its place: put the program there"
    )


def _pass_on(stream: Stream, data: bytes) -> None:
    """Write to this process's own output, as the bytes they are where it takes bytes."""
    target = sys.stdout if stream == "out" else sys.stderr
    target.flush()
    raw = getattr(target, "buffer", None)
    if raw is None:
        target.write(data.decode(errors="replace"))
    else:
        raw.write(data)
    target.flush()
