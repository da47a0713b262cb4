"""The schedule of a lineage, followed through takeovers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

import heredity as hd
from heredity.analysis.schedule import Schedule, Segment
from toys import Toy, run, toy_study

A, B = {"lr": 0.1}, {"lr": 0.2}


def segment(start: int, stop: int, hparams: dict[str, float], trial: int = 0) -> Segment:
    return Segment(start, stop, hparams, trial, member=0, score=None)


SCHEDULE = Schedule((segment(0, 10, A, 0), segment(10, 20, A, 1), segment(20, 30, B, 2)))


def test_a_schedule_follows_the_weights_from_step_0_on() -> None:
    result = run(toy_study(algorithm=hd.PBT(ready=hd.Every(0)), budget=hd.Steps(60)))
    assert result.population.exploits > 0
    for trial in (t for t in result.trials if t.kind == "train"):
        segments = result.schedule(trial.id).segments
        assert segments[0].start == 0
        assert (segments[-1].stop, segments[-1].trial) == (trial.stop, trial.id)
        assert all(a.stop == b.start for a, b in itertools.pairwise(segments))
        for part in segments:
            record = result.model(part.trial).trial
            assert (part.hparams, part.member) == (record.hparams, record.member)
            assert part.score == record.score


def test_the_best_one_is_shown_by_default() -> None:
    result = run(toy_study())
    assert result.schedule() == result.schedule(result.best.trial.id)


def test_training_by_the_schedule_gives_the_same_weights() -> None:
    """What the schedule says is what was done: the toy's x can be computed from it."""
    result = run(toy_study(algorithm=hd.PBT(ready=hd.Every(0)), budget=hd.Steps(60)))
    schedule = result.schedule()
    first = result.model(schedule.segments[0].trial).trial
    toy = Toy()
    toy.setup({}, first.seed)
    for step in range(result.best.trial.stop):
        toy.hparams = schedule.at(step)
        toy.train(1)
    assert toy.evaluate() == pytest.approx(result.best.score, rel=1e-12)


@pytest.mark.parametrize(("step", "hparams"), [(0, A), (9, A), (19, A), (20, B), (29, B), (99, B)])
def test_hparams_at_a_step(step: int, hparams: dict[str, float]) -> None:
    assert SCHEDULE.at(step) == hparams


def test_there_is_no_step_before_the_first() -> None:
    with pytest.raises(hd.NotFound, match="-1"):
        SCHEDULE.at(-1)


def test_neighbours_of_equal_hparams_merge_and_nothing_is_lost() -> None:
    merged = SCHEDULE.merged()
    assert [(s.start, s.stop, s.hparams) for s in merged] == [(0, 20, A), (20, 30, B)]
    assert all(merged.at(step) == SCHEDULE.at(step) for step in range(30))
    assert (len(SCHEDULE), len(merged)) == (3, 2)


def test_a_schedule_prints_as_a_table() -> None:
    lines = str(SCHEDULE).splitlines()
    assert [line.split() for line in lines] == [["steps", "lr"], ["0–20", "0.1"], ["20–30", "0.2"]]
    assert len({len(line) for line in lines}) == 1


def test_a_schedule_is_json() -> None:
    assert SCHEDULE.as_dicts()[0] == {
        "start": 0,
        "stop": 10,
        "trial": 0,
        "member": 0,
        "score": None,
        "hparams": A,
    }


def test_a_schedule_says_where_hparams_were_reached_gradually() -> None:
    result = run(toy_study(algorithm=hd.PBT(ready=hd.Every(0), ramp=0.5), budget=hd.Steps(60)))
    ramped = 0
    for part in (s for trial in result.trials for s in result.schedule(trial.id)):
        record = result.model(part.trial).trial
        assert (part.ramp_from, part.ramp_steps) == (record.ramp_from, record.ramp_steps)
        ramped += part.ramp_steps > 0
    assert ramped
    plain = replace(segment(0, 10, B), ramp_from=A, ramp_steps=4)
    (merged,) = Schedule((plain, segment(10, 20, B))).merged()
    assert (merged.stop, merged.ramp_from, merged.ramp_steps) == (20, A, 4)
    (told,) = Schedule((plain,)).as_dicts()
    assert (told["ramp_from"], told["ramp_steps"]) == (A, 4)
