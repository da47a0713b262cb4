"""What a program prints, read as it comes: its metrics, the step it speaks of, its last words.

Programs print for people: colours, progress bars that overwrite their line, numbers that are no
longer finite. This file knows text, and nothing of processes or of trials.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from heredity.errors import TrainingError, did_you_mean
from heredity.trainables.command.numbers import Pattern, json_object, numbers
from heredity.trainables.command.process import Stream

TAIL_LINES = 30
"""How many of a program's last lines are shown when it fails."""

TAIL_CHARACTERS = 4_000
"""How long they are together, at most."""

_SHOWN_OF_LINE = 1_000

_LONGEST_LINE = 1 << 18

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]+[0-~]|[@-Z\\-_])"
    r"|[\x00-\x08\x0e-\x1a\x7f]"
)
"""ECMA-48 control sequences: colours, cursor movements, window titles; and single ones."""

_END = re.compile(r"\r\n|\r|\n")

Measured = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Found:
    """The metrics that were found and, if the score is not among them, why."""

    metrics: dict[str, float]
    missing: str = ""


class Lines:
    """The lines of one stream, from its bytes; each with whether it is later overwritten."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes, final: bool = False) -> Iterator[tuple[str, bool]]:
        """The lines that these bytes complete, without control sequences."""
        text = self._rest + self._decoder.decode(data, final)
        if final or len(text) > _LONGEST_LINE:
            text += "\n"
        begin = 0
        for end in _END.finditer(text):
            if end[0] == "\r" and end.end() == len(text):
                break  # a line feed may follow
            if line := _ESCAPES.sub("", text[begin : end.start()]).rstrip():
                yield line, end[0] == "\r"
            begin = end.end()
        self._rest = text[begin:]


class Output:
    """Reads the output of one program.

    Attributes:
        step: the last step that was spoken of; None if none was.
    """

    def __init__(
        self,
        metric: str,
        patterns: Sequence[Pattern] = (),
        step: Pattern | None = None,
        measured: Measured = lambda step, metrics: None,
    ) -> None:
        """`metric` is the score's name; `measured` is called when it was found with a step."""
        self.step: int | None = None
        self._metrics: dict[str, float] = {}
        self._seen: set[str] = set()
        self._metric = metric
        self._patterns = patterns
        self._step = step
        self._measured = measured
        self._lines: dict[Stream, Lines] = {"out": Lines(), "err": Lines()}
        self._tail: deque[tuple[str, bool]] = deque(maxlen=TAIL_LINES)

    def feed(self, stream: Stream, data: bytes) -> None:
        """Read more of what was written."""
        self._take(stream, data)

    def close(self) -> None:
        """Read what is left: lines without an end."""
        for stream in self._lines:
            self._take(stream, b"", final=True)

    @property
    def tail(self) -> str:
        """Its last lines, of long ones the beginning and the end."""
        lines, left = [], TAIL_CHARACTERS
        for line, _ in reversed(self._tail):
            left -= len(line) + 1
            if left < 0:
                break
            lines.append(line)
        return "\n".join(reversed(lines))

    @property
    def found(self) -> Found:
        """The last values: of patterns, of each; of JSON, those of the last line."""
        if self._metric in self._metrics:
            return Found(self._metrics)
        return Found(self._metrics, self._missing())

    def _take(self, stream: Stream, data: bytes, final: bool = False) -> None:
        for line, transient in self._lines[stream].feed(data, final):
            self._remember(line, transient)
            self._read(line, stream)

    def _remember(self, line: str, transient: bool) -> None:
        if self._tail and self._tail[-1][1]:
            self._tail.pop()
        self._tail.append((_shortened(line), transient))

    def _read(self, line: str, stream: Stream) -> None:
        if self._step is not None and (step := self._step.last(line)) is not None:
            self.step = _whole(step, line)
        if self._patterns:
            found = self._matched(line)
        else:
            found = self._printed(line) if stream == "out" else {}
        if self._metric in found and self.step is not None:
            self._measured(self.step, dict(self._metrics))

    def _matched(self, line: str) -> dict[str, float]:
        values = {pattern.name: pattern.last(line) for pattern in self._patterns}
        found = {name: value for name, value in values.items() if value is not None}
        self._metrics |= found
        return found

    def _printed(self, line: str) -> dict[str, float]:
        """The numbers of a JSON object that holds the score; others are not about it."""
        found = numbers(json_object(line) or {})
        self._seen |= found.keys()
        if self._metric not in found:
            return {}
        step = found.pop("step", None)
        if step is not None:
            self.step = _whole(step, line)
        self._metrics = found
        return found

    def _missing(self) -> str:
        for pattern in self._patterns:
            if pattern.name == self._metric:
                return f"no line matched the pattern of `{self._metric}`, {pattern.source!r}"
        return (
            f"no line of standard output is a JSON object with the score, such as "
            f'{{"{self._metric}": 0.5}}.{did_you_mean(self._metric, self._seen)}'
        )


def _shortened(line: str) -> str:
    half = _SHOWN_OF_LINE // 2
    return line if len(line) <= _SHOWN_OF_LINE else f"{line[:half]} … {line[-half:]}"


def _whole(step: float, line: str) -> int:
    if not step.is_integer():
        raise TrainingError(f"the step {step} in the line {line.strip()[:200]!r} is not whole")
    return int(step)


def found_in(path: Path, metric: str) -> Found:
    """The numbers in a JSON file or, of JSON lines, in the last line that holds the score."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return Found({}, f"no metrics: {str(path)!r} cannot be read: {error.strerror}")
    whole = json_object(text)
    objects = [whole] if whole is not None else map(json_object, text.splitlines())
    found = [numbers(each) for each in objects if each is not None]
    if not found:
        return Found({}, f"{str(path)!r} is to hold a JSON object of metrics, not {text[:200]!r}")
    holding = [each for each in found if metric in each]
    if holding:
        return Found(holding[-1])
    known = did_you_mean(metric, found[-1])
    return Found({}, f"the JSON in {str(path)!r} has no number `{metric}`, the score.{known}")
