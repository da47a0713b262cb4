"""What holds for every logger, on a target in memory: all is told, once, and no study waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from told import ended, run, study

import heredity as hd
from heredity.errors import MissingExtra, UsageError
from heredity.evolution import events as ev
from heredity.integrations import together
from heredity.integrations.base import Logger, require
from heredity.integrations.story import Point, Summary
from heredity.testing.arithmetic import Arithmetic


class Target:
    """Runs by member that outlive the loggers which write them."""

    def __init__(self) -> None:
        self.runs: dict[int, list[Point]] = {}
        self.studies: list[Summary] = []
        self.finished = 0
        self.slow_s = 0.0
        self.broken: Any = None
        self.calls = 0

    @property
    def trials(self) -> dict[int, list[int]]:
        return {member: [point.trial for point in run] for member, run in self.runs.items()}


class Notebook(Logger):
    """A logger that writes to a `Target`."""

    def __init__(self, study: Any, target: Target) -> None:
        super().__init__(study)
        self.target = target

    def _begin(self, member: int) -> int:
        run = self.target.runs.setdefault(member, [])
        return run[-1].trial if run else -1

    def _write(self, member: int, points: Sequence[Point]) -> None:
        self.target.calls += 1
        if self.target.broken is not None:
            self.target.broken(member, points)
        self.target.runs[member] += points

    def _summarise(self, study: Summary) -> None:
        time.sleep(self.target.slow_s)
        self.target.studies.append(study)

    def _finish(self) -> None:
        self.target.finished += 1

    def _place(self) -> str:
        return "a notebook"


@pytest.fixture
def target() -> Target:
    return Target()


def numbers(result: hd.Result) -> dict[int, list[int]]:
    return {member: [trial.id for trial in lane] for member, lane in ended(result).items()}


def vector_study(storage: str | Path = ":memory:", **changes: Any) -> hd.Study:
    options: dict[str, Any] = {
        "objective": hd.maximize("progress"),
        "population": 6,
        "interval": 5,
        "budget": hd.Steps(30),
        "name": "rounds",
        "storage": storage,
    }
    space = hd.Space(x=hd.Uniform(0.0, 1.0))
    return hd.Study(Arithmetic(0.8), space, **{**options, **changes})


class TestTelling:
    def test_each_member_has_one_run_of_all_its_trials(self, target: Target) -> None:
        mine = study()
        result = run(mine, Notebook(mine, target))
        assert target.trials == numbers(result)
        assert sum(len(lane) for lane in target.runs.values()) == 24

    def test_on_processes(self, target: Target, tmp_path: Path) -> None:
        mine = study(tmp_path, budget=hd.Steps(15))
        result = run(mine, Notebook(mine, target), hd.Processes(2))
        assert target.trials == numbers(result)

    def test_vectorized(self, target: Target) -> None:
        mine = vector_study()
        result = run(mine, Notebook(mine, target), hd.Vectorized(block=2))
        assert target.trials == numbers(result)
        assert {len(lane) for lane in target.runs.values()} == {6}

    def test_the_summary_comes_first_and_last(self, target: Target) -> None:
        mine = study()
        result = run(mine, Notebook(mine, target))
        first, last = target.studies[0], target.studies[-1]
        assert not first.ended
        assert last.ended
        assert last.values["best/confirmed"] == result.best.confirmed
        assert target.finished == 1

    def test_all_is_written_when_the_study_returns(self, target: Target) -> None:
        mine = study()
        target.slow_s = 0.1
        result = run(mine, Notebook(mine, target))
        assert target.trials == numbers(result)
        assert target.studies[-1].ended

    def test_a_round_is_taken_note_of_without_waiting(self, target: Target) -> None:
        """The target hangs from the first point on until the last round is told."""
        mine, gate = vector_study(budget=hd.Steps(15)), threading.Event()
        target.broken = lambda member, points: gate.wait(60)
        logger = Notebook(mine, target)
        rounds = 0

        def listen(event: ev.Event) -> None:
            nonlocal rounds
            rounds += isinstance(event, ev.RoundFinished)
            if isinstance(event, ev.StudyEnded):
                assert not target.runs.get(0)
                gate.set()
            logger(event)

        result = run(mine, listen, hd.Vectorized(block=1))
        assert rounds == 3
        assert target.trials == numbers(result)

    def test_several_listeners(self, target: Target) -> None:
        mine, other, seen = study(budget=hd.Steps(5)), Target(), []
        listener = together(Notebook(mine, target), Notebook(mine, other), seen.append)
        result = run(mine, listener)
        assert target.trials == other.trials == numbers(result)
        assert isinstance(seen[0], ev.StudyCreated)


class TestGoingOn:
    def test_another_script_goes_on_with_the_same_runs(
        self, target: Target, tmp_path: Path
    ) -> None:
        for steps in (10, 20, 30):
            mine = study(tmp_path, budget=hd.Steps(steps))
            result = run(mine, Notebook(mine, target))
        assert target.trials == numbers(result)

    def test_the_same_logger_goes_on_after_the_end(self, target: Target, tmp_path: Path) -> None:
        mine = study(tmp_path, budget=hd.Steps(10))
        logger = Notebook(mine, target)
        run(mine, logger)
        result = run(study(tmp_path, budget=hd.Steps(20)), logger)
        assert target.trials == numbers(result)
        assert target.finished == 2

    def test_what_was_not_told_before_is_told_first(self, target: Target, tmp_path: Path) -> None:
        run(study(tmp_path, budget=hd.Steps(10)))
        mine = study(tmp_path)
        result = run(mine, Notebook(mine, target))
        assert target.trials == numbers(result)
        assert len(target.runs[0]) == 6

    def test_what_another_process_drove_meanwhile_is_told(
        self, target: Target, tmp_path: Path
    ) -> None:
        """The logger heard of some trials, then the study went on without it."""
        mine = study(tmp_path)
        logger = Notebook(mine, target)
        with pytest.raises(InterruptedError):
            run(mine, together(logger, raising(after=30)))
        with pytest.raises(InterruptedError):
            run(study(tmp_path), raising(after=30))
        result = run(mine, logger)
        assert target.trials == numbers(result)

    @pytest.mark.parametrize("after", range(2, 60, 7))
    def test_it_may_be_interrupted_anywhere(
        self, target: Target, tmp_path: Path, after: int
    ) -> None:
        mine = study(tmp_path)
        with pytest.raises(InterruptedError):
            run(mine, together(Notebook(mine, target), raising(after)))
        again = study(tmp_path)
        result = run(again, Notebook(again, target))
        assert target.trials == numbers(result)

    def test_backfill_needs_no_code_and_may_be_repeated(
        self, target: Target, tmp_path: Path
    ) -> None:
        result = run(study(tmp_path))
        for _ in range(2):
            logger = Notebook(hd.open("descent", tmp_path), target)
            logger.backfill()
            logger.backfill()
        assert target.trials == numbers(result)

    def test_backfill_follows_a_study_that_goes_on(self, target: Target, tmp_path: Path) -> None:
        run(study(tmp_path, budget=hd.Steps(10)))
        logger = Notebook(hd.open("descent", tmp_path), target)
        logger.backfill()
        assert len(target.runs[0]) == 2
        result = run(study(tmp_path))
        logger.backfill()
        assert target.trials == numbers(result)

    def test_backfill_tells_what_asking_trained(self, target: Target) -> None:
        space = hd.Space(lr=hd.LogUniform(1e-4, 1e-1))
        options: dict[str, Any] = {"objective": hd.minimize("loss"), "interval": 5}
        mine = hd.Study(
            None,
            space,
            **options,
            population=2,
            budget=hd.Steps(10),
            name="asked",
            storage=":memory:",
        )
        while sessions := mine.ask():
            for session in sessions:
                start = 0.0 if session.restore is None else 1.0
                (session.save / "x").write_text(str(start))
                session.complete(loss=session.hparams["lr"])
        Notebook(mine, target).backfill()
        assert target.trials == numbers(mine.result)
        assert len(target.runs[0]) == 2


class TestTrouble:
    def test_a_target_that_fails_is_a_warning_and_loses_nothing(self, target: Target) -> None:
        mine = study()
        failures = iter(range(3))

        def fail(member: int, points: Sequence[Point]) -> None:
            if next(failures, None) is not None:
                raise OSError("no network")

        target.broken = fail
        with pytest.warns(RuntimeWarning, match=r"could not write: OSError\('no network'\)"):
            result = run(mine, Notebook(mine, target))
        assert result.status == "ended"
        assert target.trials == numbers(result)

    def test_a_target_that_took_half_is_not_told_twice(self, target: Target) -> None:
        """It is asked again how far its run tells."""
        mine = study()

        def take_one_and_fail(member: int, points: Sequence[Point]) -> None:
            target.runs[member].append(points[0])
            target.broken = None
            raise OSError("connection reset")

        result = run(mine)
        target.broken = take_one_and_fail
        logger = Notebook(mine, target)
        with pytest.raises(OSError, match="connection reset"):
            logger.backfill()
        assert len(target.runs[0]) == 1
        logger.backfill()
        assert target.trials == numbers(result)

    def test_a_target_that_never_works_does_not_stop_the_study(self, target: Target) -> None:
        mine = study()
        target.broken = fail_always
        with pytest.warns(RuntimeWarning, match="The study goes on"):
            result = run(mine, Notebook(mine, target))
        assert result.status == "ended"
        target.broken = None
        Notebook(mine, target).backfill()
        assert target.trials == numbers(result)

    def test_runs_of_another_study_are_refused_and_left_alone(
        self, target: Target, tmp_path: Path
    ) -> None:
        run(study(tmp_path / "old"), Notebook(old := study(tmp_path / "old"), target))
        assert old.result.status == "ended"
        before = target.trials
        new = study(tmp_path / "new", population=3)
        with pytest.raises(UsageError, match=r"member 0 in a notebook tells of trial \d+, which"):
            run(new, Notebook(new, target))
        assert target.trials == before
        result = run(new, Notebook(new, Target()))  # nothing was lost
        assert result.status == "ended"

    def test_a_missing_library_is_named_with_its_command(self) -> None:
        with pytest.raises(MissingExtra, match=r"pip install 'heredity\[no-such\]'"):
            require("no_such_library.inside", "no-such")

    def test_a_study_that_never_ran_has_nothing_to_tell(self, target: Target) -> None:
        with pytest.raises(hd.NotFound):
            Notebook(study(), target).backfill()


class TestCost:
    def test_a_round_of_a_thousand_members_is_one_write_each(self, target: Target) -> None:
        mine = vector_study(population=1000, budget=hd.Steps(15))
        logger = Notebook(mine, target)
        result = run(mine, logger, hd.Vectorized(block=1))
        assert target.trials == numbers(result)
        assert target.calls <= 3000
        assert not logger._points  # what was written is not kept

    def test_much_that_waits_is_few_writes(self, target: Target) -> None:
        mine = study()
        run(mine)
        Notebook(mine, target).backfill()
        assert target.calls == 4


def fail_always(member: int, points: Sequence[Point]) -> None:
    raise OSError("disk full")


def raising(after: int) -> Any:
    """A listener that interrupts the study at an event."""
    left: Iterator[int] = iter(range(after - 1, -1, -1))

    def listen(event: ev.Event) -> None:
        if next(left, None) == 0:
            raise InterruptedError

    return listen
