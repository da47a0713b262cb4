"""TensorBoard: one folder of event files a member, and one for the study.

Event files are written with TensorBoard's own records and nothing else. A point is one record, so
it is there whole or not at all; a session of its own adds a file and never changes an older one.
"""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from heredity.errors import UsageError
from heredity.integrations.base import Logger as Base
from heredity.integrations.base import require
from heredity.integrations.story import Point, Summary
from heredity.result import Result
from heredity.study import Study


@final
class Logger(Base):
    """Writes event files: `study.run(on_event=tensorboard.Logger(study))`, then
    `tensorboard --logdir runs`.

    A member's run is the folder `member-3`, with the values of `Point` by lineage step, and notes
    and choices as text; the run `study` holds what the study is and how it stands.

    Args:
        study: the study, or a result of `heredity.open`.
        folder: where the runs' folders lie; by default `tensorboard` in the study's folder.
    """

    def __init__(self, study: Study | Result, folder: str | Path | None = None) -> None:
        super().__init__(study)
        self.folder = _default_folder(study) if folder is None else Path(folder)
        self._records = _Records()
        self._files: dict[str, Path] = {}
        self._texts: dict[str, dict[str, str]] = {}

    def _begin(self, member: int) -> int:
        run = f"member-{member}"
        self._files.pop(run, None)  # after an error the last record may be torn
        return max((int(t) for t in self._records.last(self.folder / run, "trial")), default=-1)

    def _write(self, member: int, points: Sequence[Point]) -> None:
        run = f"member-{member}"
        records = []
        for point in points:
            choices = {f"hparams/{name}": choice for name, choice in point.choices.items()}
            texts = {**self._changed(run, choices), **point.notes}
            records.append(self._records.event(point.step, point.values, texts))
        self._append(run, records)

    def _summarise(self, study: Summary) -> None:
        texts = self._changed("study", {**study.facts, **study.texts})
        self._append("study", [self._records.event(study.trials, study.values, texts)])

    def _changed(self, run: str, texts: Mapping[str, str]) -> dict[str, str]:
        """The texts that are not those told last: what stays would only repeat."""
        known = self._texts.setdefault(run, {})
        changed = {name: text for name, text in texts.items() if known.get(name) != text}
        known.update(changed)
        return changed

    def _finish(self) -> None:
        """Nothing: no file stays open, since a thousand members would be too many."""

    def _place(self) -> str:
        return str(self.folder)

    def _append(self, run: str, records: Sequence[bytes]) -> None:
        path = self._files.get(run)
        if path is None:
            path = self._files[run] = self._new_file(self.folder / run)
            records = [self._records.version(), *records]
        with path.open("ab") as file:
            file.write(b"".join(records))

    def _new_file(self, folder: Path) -> Path:
        """A file that sorts after those there; TensorBoard reads them in the order of names."""
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in _event_files(folder))
        return folder / f"events.out.tfevents.{int(time.time()):010d}.heredity.{number:06d}"


class _Records:
    """TensorBoard's records: made with its library, framed as its files frame them."""

    def __init__(self) -> None:
        need = "tensorboard"
        self._event = require("tensorboard.compat.proto.event_pb2", need).Event
        self._summary = require("tensorboard.compat.proto.summary_pb2", need).Summary
        self._text = require("tensorboard.plugins.text.summary_v2", need).text_pb
        self._writer = require("tensorboard.summary.writer.record_writer", need).RecordWriter

    def version(self) -> bytes:
        """The record that every file begins with."""
        return self._framed(self._event(wall_time=time.time(), file_version="brain.Event:2"))

    def event(self, step: int, values: Mapping[str, float], texts: Mapping[str, str]) -> bytes:
        """One record of values and texts, all of one step."""
        summary = self._summary()
        for name, value in values.items():
            summary.value.add(tag=name, simple_value=value)
        for name, text in texts.items():
            summary.value.extend(self._text(name, text).value)
        return self._framed(self._event(wall_time=time.time(), step=step, summary=summary))

    def last(self, folder: Path, tag: str) -> list[float]:
        """The value of `tag` in the last whole record of a run's folder that has it, or nothing."""
        for path in sorted(_event_files(folder), reverse=True):
            for data in reversed(list(_payloads(path.read_bytes()))):
                values = self._event.FromString(data).summary.value
                if found := [value.simple_value for value in values if value.tag == tag]:
                    return found
        return []

    def _framed(self, event: Any) -> bytes:
        buffer = io.BytesIO()
        self._writer(buffer).write(event.SerializeToString())
        return buffer.getvalue()


def _event_files(folder: Path) -> Iterator[Path]:
    return folder.glob("events.out.tfevents.*")


def _payloads(data: bytes) -> Iterator[bytes]:
    """The whole records of a file: length, its checksum, the bytes, their checksum."""
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + 16 + length > len(data):
            return
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def _default_folder(study: Study | Result) -> Path:
    if isinstance(study, Result) or str(study.storage) == ":memory:":
        raise UsageError(
            "give the logger a folder: Logger(study, 'tb'); only a study with a folder of its own "
            "has a default"
        )
    return study.folder / "tensorboard"
