"""Weights & Biases, offline: what its files hold, which is what it would upload."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from told import ended, exploited, killed, made, numbers, run, study

import heredity as hd

pytest.importorskip("wandb")

BLOCK = 32768


def records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: a header of 7 bytes, then LevelDB's log format, in which a
    record is cut where a block ends."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(record)
            record = b""


class Session:
    """What one session of a run wrote."""

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.finished = False
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
            elif kind == "history":
                self.rows.append(_items(record.history.item))
            elif kind == "summary":
                self.summary |= _items(record.summary.update)
            elif kind == "exit":
                self.finished = True


def _items(items: Any) -> dict[str, Any]:
    return {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}


def sessions(place: Path) -> dict[str, list[Session]]:
    """The sessions of each run, by its id, oldest first. W&B says that it is done a moment before
    its files are: the last session of each run is waited for."""
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, list[Session]] = {}
        for path in sorted((place / "wandb").glob("offline-run-*/run-*.wandb")):
            found.setdefault(path.stem.removeprefix("run-"), []).append(Session(path))
        if all(run[-1].finished for run in found.values()):
            return found
        assert time.monotonic() < deadline, "W&B did not finish its files"
        time.sleep(0.01)


def assert_told(place: Path, result: hd.Result) -> None:
    """One run a member with a row for each of its trials, once, in order."""
    found = sessions(place)
    assert set(found) == {"descent-study", *(f"descent-member-{m}" for m in range(4))}
    for member, trials in ended(result).items():
        rows = [row for session in found[f"descent-member-{member}"] for row in session.rows]
        assert [row["_step"] for row in rows] == [trial.id for trial in trials]
        for row, trial in zip(rows, trials, strict=True):
            want = numbers(result, trial)
            assert {name: row[name] for name in want} == want
            assert row["step"] == trial.reached
            assert row["choices/mode"] == trial.hparams["mode"]


def test_each_member_is_one_run_with_all_its_values(tmp_path: Path) -> None:
    mine = study()
    result = run(mine, made("wandb", mine, tmp_path))
    assert_told(tmp_path, result)
    for session in sessions(tmp_path)["descent-member-2"]:
        assert session.run.run_group == "descent"
        assert session.run.display_name == "member-2"


def test_exploits_are_notes(tmp_path: Path) -> None:
    mine = study()
    result = run(mine, made("wandb", mine, tmp_path))
    notes = {
        row["trial"]: row["notes/exploit"]
        for run_of in sessions(tmp_path).values()
        for session in run_of
        for row in session.rows
        if "notes/exploit" in row
    }
    assert exploited(result)
    assert notes.keys() == {trial.id for trial in exploited(result)}
    for trial in exploited(result):
        assert f"trial {trial.weights_from} of member " in notes[trial.id]


def test_the_study_has_a_run_of_its_own(tmp_path: Path) -> None:
    mine = study()
    result = run(mine, made("wandb", mine, tmp_path))
    last = sessions(tmp_path)["descent-study"][-1]
    assert last.summary["status"] == f"ended: {result.reason}"
    assert last.summary["best/confirmed"] == result.best.confirmed


def test_a_killed_study_goes_on_in_the_same_runs(tmp_path: Path) -> None:
    """What W&B had not brought to its file when it was killed with the study may be missing there;
    nothing may be there twice."""
    killed("wandb", tmp_path, after=10)
    mine = study(tmp_path / "runs")
    result = run(mine, made("wandb", mine, tmp_path))
    found = sessions(tmp_path)
    for member, trials in ended(result).items():
        rows = [row for session in found[f"descent-member-{member}"] for row in session.rows]
        told = [row["_step"] for row in rows]
        assert len(told) == len(set(told))
        assert set(told) <= {trial.id for trial in trials}
        assert told[-3:] == [trial.id for trial in trials[-3:]]


def test_a_larger_budget_goes_on_in_the_same_runs(tmp_path: Path) -> None:
    for steps in (10, 20):
        mine = study(tmp_path / "runs", budget=hd.Steps(steps))
        result = run(mine, made("wandb", mine, tmp_path))
    assert_told(tmp_path, result)


def test_nothing_new_begins_no_session(tmp_path: Path) -> None:
    mine = study(tmp_path / "runs", budget=hd.Steps(5))
    run(mine, made("wandb", mine, tmp_path))
    made("wandb", mine, tmp_path).backfill()
    assert len(sessions(tmp_path)["descent-member-0"]) == 1
