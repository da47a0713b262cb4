"""What a preview foretells is what then happens, as far as that can be known."""

from __future__ import annotations

from typing import Any

import pytest

import heredity as hd
from heredity.study_files.preview import REHEARSED, preview, rehearse

SPACE = hd.Space(lr=hd.LogUniform(1e-4, 1.0), size=hd.Categorical(["s", "m", "l"]))


def train(session: hd.Session) -> None:
    """Keeps nothing but the number of steps."""
    if session.restore is not None:
        assert int((session.restore / "step").read_text()) == session.start
    (session.save / "step").write_text(str(session.stop))
    session.report(step=session.stop, loss=session.hparams["lr"] + len(session.hparams["size"]))


def study(**changes: Any) -> hd.Study:
    arguments = {"population": 4, "interval": 10, "budget": hd.Steps(35), "storage": ":memory:"}
    return hd.Study(
        train, SPACE, **{"objective": hd.minimize("loss"), "name": "x", **arguments, **changes}
    )


@pytest.mark.parametrize("budget", [hd.Steps(35), hd.Trials(9)])
def test_as_many_trials_as_then_run_and_the_first_of_them(budget: Any) -> None:
    foretold = preview(study(budget=budget), slots=1)
    result = study(budget=budget, finalists=0).run(hd.Inline(), live="off")
    assert foretold.trials == result.population.ended_count
    first = result.trials[0]
    assert foretold.first.hparams == first.hparams
    assert (foretold.first.start, foretold.first.stop) == (first.start, first.stop)
    assert foretold.command is None


def test_a_known_good_start_is_the_first_trials() -> None:
    foretold = preview(study(initial=[{"lr": 0.5, "size": "l"}]), slots=2)
    assert foretold.first.hparams == {"lr": 0.5, "size": "l"}


def test_truncation_exploits_as_often_as_it_must() -> None:
    """Synchronously, without a wait between exploits, the lowest fifth of 20 members take over at
    each of the 9 turns after the first."""
    rule = hd.PBT(hd.Truncation(0.2), ready=hd.Every(0), mode="sync")
    foretold = preview(study(population=20, budget=hd.Steps(100), algorithm=rule), slots=4)
    assert foretold.trials == 200
    assert foretold.exploits == 9 * 4
    assert foretold.exploits_share == 36 / 200


def test_random_search_never_exploits() -> None:
    assert preview(study(algorithm=hd.RandomSearch()), slots=4).exploits == 0


def test_better_hparams_are_inherited() -> None:
    """The landscape of a rehearsal is one: evolution climbs it, whichever way is better."""
    for objective in (hd.minimize("loss"), hd.maximize("gain")):
        means = {}
        for algorithm in (hd.PBT(ready=hd.Every(0)), hd.RandomSearch()):
            d = study(population=20, objective=objective, algorithm=algorithm).definition
            population = rehearse(d, (hd.Steps(200),), 4)
            scores = [population.trial(i).score or 0.0 for i in range(len(population))]
            means[type(algorithm)] = objective.sign * sum(scores) / len(scores)
            assert objective.sign * (scores[-1] - scores[0]) > 5.0  # training helps
        assert means[hd.PBT] > means[hd.RandomSearch] + 1.0


@pytest.mark.parametrize("budget", [hd.Seconds(5.0), hd.Target(0.1)])
def test_a_budget_that_does_not_say_how_many(budget: Any) -> None:
    foretold = preview(study(budget=budget), slots=4)
    assert foretold.trials is None
    assert foretold.exploits is None
    assert 0 < foretold.exploits_share < 1


def test_a_large_study_is_rehearsed_in_small() -> None:
    rule = hd.PBT(hd.Truncation(0.25), ready=hd.Every(0), mode="sync")
    large = study(population=10_000, budget=hd.Steps(1_000), algorithm=rule)
    foretold = preview(large, slots=100)
    assert foretold.trials == 1_000_000
    assert foretold.exploits_share == pytest.approx(0.25 * 99 / 100, abs=0.02)
    population = rehearse(large.definition, large.budget, 100)
    assert population.ended_count <= REHEARSED + population.lanes


@pytest.mark.parametrize(
    "algorithm",
    [hd.PBT(mode="sync"), hd.Generational(), hd.Stopping(hd.PBT())],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_every_algorithm_can_be_rehearsed(algorithm: hd.Algorithm) -> None:
    two = [hd.minimize("loss"), hd.maximize("gain")]
    foretold = preview(study(algorithm=algorithm, objective=two, population=8), slots=3)
    assert foretold.trials == 8 * 4
    assert foretold.exploits is not None
    assert 0 < foretold.exploits < 8 * 4
