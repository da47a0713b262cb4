"""The commands by which a person takes a hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import heredity as hd
from cli.climbing import Call, climb, failed
from heredity.evolution import events as ev
from heredity.stores import open_store

HPARAMS = {"rate": 0.3, "shape": "round"}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A storage folder with a study that has begun, and that nobody runs."""
    storage = tmp_path / "runs"
    climb(storage).inject(HPARAMS)
    return storage


def last(storage: Path) -> ev.Event:
    store = open_store(storage, read_only=True)
    try:
        return store.read("climb")[-1]
    finally:
        store.close()


def test_pause_resume_and_stop(begun: Path, call: Call) -> None:
    paused = call("pause", "--storage", begun, "--reason", "lunch")
    assert (paused.exit_code, paused.stdout) == (0, "")
    assert "heredity resume climb" in paused.stderr
    assert last(begun) == ev.StudyPaused("lunch")
    assert "paused: lunch" in call("status", "--storage", begun).stdout
    resumed = call("resume", "climb", "--storage", begun)
    assert "start its command again" in resumed.stderr, "nobody runs it"
    assert last(begun) == ev.StudyResumed()
    stopped = call("stop", "climb", "--storage", begun)
    assert stopped.exit_code == 0
    assert "start its command again" in stopped.stderr
    assert last(begun) == ev.StudyStopRequested("stopped by a person")
    assert climb(begun).run(hd.Inline(), live="off").status == "ended"


def test_nothing_is_said_of_starting_again_while_somebody_runs_it(begun: Path, call: Call) -> None:
    call("pause", "--storage", begun)
    store = open_store(begun)
    with store.lock("climb"):
        assert "again" not in call("resume", "--storage", begun).stderr
        assert "again" not in call("stop", "--storage", begun).stderr
    store.close()


def test_pin_and_unpin(storage: Path, call: Call) -> None:
    best = hd.open("climb", storage).best.trial.id
    assert call("pin", best, "--storage", storage).exit_code == 0
    assert last(storage) == ev.CheckpointPinned(best)
    assert call("unpin", "climb", best, "--storage", storage).exit_code == 0
    assert last(storage) == ev.CheckpointUnpinned(best)


def test_bounds_and_inject(begun: Path, call: Call) -> None:
    assert call("bounds", "climb", "rate", "0.2", "0.9", "--storage", begun).exit_code == 0
    assert last(begun) == ev.BoundsChanged("rate", 0.2, 0.9)
    values = ["rate=0.25", "shape=square"]
    assert call("inject", "climb", *values, "--storage", begun).exit_code == 0
    assert last(begun) == ev.TrialInjected(1, {"rate": 0.25, "shape": "square"}, None)


@pytest.mark.parametrize(
    ("command", "exit_code", "said"),
    [
        (["pause", "climb"], 2, "cannot be paused now; it is ended"),
        (["resume"], 2, "run it with a larger budget"),
        (["pause", "clim"], 4, "Did you mean `climb`?"),
        (["pin", "999"], 4, "there is no trial 999"),
        (["pin", "climb", "best"], 2, "not 'best'"),
        (["bounds", "climb", "rat", "0.1", "1"], 2, "Did you mean `rate`?"),
        (["bounds", "climb", "shape", "0", "1"], 2, "shape has no bounds"),
        (["bounds", "climb", "rate", "--", "-1", "1"], 2, "rate: "),
        (["inject", "climb", "rate"], 2, "NAME=VALUE"),
        (["inject", "climb", "rate=0.5", "shape=oval"], 2, "shape"),
        (["inject", "climb", "rate=0.5"], 2, "shape"),
        (["inject", "climb", "rate=0.5", "shape=round"], 2, "it is ended"),
    ],
)
def test_what_cannot_be_is_refused(
    storage: Path, call: Call, command: list[str], exit_code: int, said: str
) -> None:
    before = last(storage)
    first, *rest = command
    assert said in failed(call(first, "--storage", storage, *rest), exit_code)
    assert last(storage) == before


def test_nothing_is_made_where_there_is_nothing(tmp_path: Path, call: Call) -> None:
    failed(call("pause", "climb", "--storage", tmp_path / "none"), 4)
    assert list(tmp_path.iterdir()) == []


def test_an_injection_is_carried_out_by_the_next_to_start(begun: Path, call: Call) -> None:
    told = call("inject", "climb", "rate=0.25", "shape=square", "--storage", begun).stderr
    assert told.startswith("the next member to start")


def test_a_study_that_has_ended_does_not_end_later(storage: Path, call: Call) -> None:
    ended = call("stop", "climb", "--storage", storage)
    assert (ended.exit_code, "has ended already" in ended.stderr) == (0, True)
