"""TensorBoard, read back with its own accumulator: what its pages would show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from told import ended, exploited, killed, numbers, run, study

import heredity as hd
from heredity.errors import UsageError
from heredity.integrations.tensorboard import Logger
from heredity.testing.arithmetic import Arithmetic

pytest.importorskip("tensorboard")


class Run:
    """One run's folder as TensorBoard reads it."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self._read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        self._read.Reload()
        self.names = set(self._read.Tags()["scalars"])

    def values(self, name: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in self._read.Scalars(name)]

    def texts(self, name: str) -> list[tuple[int, str]]:
        return [(e.step, e.tensor_proto.string_val[0].decode()) for e in self._read.Tensors(name)]

    def has_text(self, name: str) -> bool:
        return name in self._read.Tags()["tensors"]


def short(value: float | None) -> float:
    """As TensorBoard stores it, in 32 bits."""
    return float(np.float32(value))


def assert_told(folder: Path, result: hd.Result) -> None:
    """Each member's run shows its trials, all of them, once, in order."""
    for member, trials in ended(result).items():
        shown = Run(folder / f"member-{member}")
        rows = [numbers(result, trial) for trial in trials]
        assert shown.names == {name for row in rows for name in row} | {"elapsed_s"}
        for name in shown.names - {"elapsed_s"}:
            want = [(t.reached, short(row[name])) for t, row in zip(trials, rows, strict=True)]
            assert shown.values(name) == want


def test_each_member_is_one_run_with_all_its_values(tmp_path: Path) -> None:
    mine = study(tmp_path)
    result = run(mine, Logger(mine))
    folder = tmp_path / "descent" / "tensorboard"
    assert {path.name for path in folder.iterdir()} == {"study", *(f"member-{m}" for m in range(4))}
    assert_told(folder, result)


def test_exploits_and_choices_are_texts(tmp_path: Path) -> None:
    mine = study()
    result = run(mine, Logger(mine, tmp_path))
    for member, trials in ended(result).items():
        shown = Run(tmp_path / f"member-{member}")
        mine_exploited = [t for t in exploited(result) if t.member == member]
        notes = shown.texts("exploit") if shown.has_text("exploit") else []
        assert [step for step, _ in notes] == [t.reached for t in mine_exploited]
        for (_, note), trial in zip(notes, mine_exploited, strict=True):
            assert f"trial {trial.weights_from} of member " in note
        modes = [trial.hparams["mode"] for trial in trials]
        changes = [i for i in range(6) if i == 0 or modes[i] != modes[i - 1]]
        assert shown.texts("hparams/mode") == [(trials[i].reached, modes[i]) for i in changes]
    assert exploited(result)


def test_the_study_has_a_run_of_its_own(tmp_path: Path) -> None:
    mine = study()
    result = run(mine, Logger(mine, tmp_path))
    shown = Run(tmp_path / "study")
    assert shown.texts("status")[0] == (0, "running")
    assert shown.texts("status")[-1] == (24, f"ended: {result.reason}")
    assert shown.values("best/score")[-1] == (24, short(result.best.score))
    assert shown.texts("objectives") == [(0, "minimize loss")]


@pytest.mark.parametrize("torn", [0, 3])
def test_a_killed_study_goes_on_in_the_same_runs(tmp_path: Path, torn: int) -> None:
    """Also where the last record was only half written."""
    killed("tensorboard", tmp_path, after=10)
    for path in (tmp_path / "tb").rglob("*tfevents*"):
        path.write_bytes(path.read_bytes()[: -torn or None])
    mine = study(tmp_path / "runs")
    result = run(mine, Logger(mine, tmp_path / "tb"))
    assert_told(tmp_path / "tb", result)


def test_going_on_leaves_older_files_alone(tmp_path: Path) -> None:
    """A TensorBoard that reads them meanwhile has only ever to read on."""
    mine = study(tmp_path, budget=hd.Steps(10))
    run(mine, Logger(mine))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*tfevents*")}
    mine = study(tmp_path, budget=hd.Steps(20))
    run(mine, Logger(mine))
    after = {path: path.read_bytes() for path in tmp_path.rglob("*tfevents*")}
    assert before == {path: after[path] for path in before}
    assert len(after) == 2 * len(before)


def test_a_vectorized_population(tmp_path: Path) -> None:
    options: dict[str, Any] = {"population": 6, "interval": 5, "budget": hd.Steps(30)}
    space = hd.Space(x=hd.Uniform(0.0, 1.0))
    objective = hd.maximize("progress")
    mine = hd.Study(Arithmetic(), space, objective=objective, name="v", storage=tmp_path, **options)
    result = mine.run(hd.Vectorized(block=2), on_event=Logger(mine), live="off")
    for member, trials in ended(result).items():
        shown = Run(tmp_path / "v" / "tensorboard" / f"member-{member}")
        assert shown.values("score") == [(t.reached, short(t.score)) for t in trials]
        assert shown.values("hparams/x") == [(t.reached, short(t.hparams["x"])) for t in trials]


def test_a_study_without_a_folder_needs_one_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the logger a folder"):
        Logger(study())
    run(study(tmp_path))
    with pytest.raises(UsageError, match="give the logger a folder"):
        Logger(hd.open("descent", tmp_path))
