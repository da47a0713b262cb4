"""Hparams that have become alike, or press against a bound."""

from dataclasses import replace

import numpy as np
import pytest
from studies import EAGER, of_kind, study, the

import heredity as hd
from heredity.analysis.diversity import diversity
from heredity.evolution import events as ev
from heredity.testing.play import Play
from heredity.testing.toys import noisy, quadratic


def with_space(toy=None, **parameters):
    return replace(toy or noisy(0.01), space=hd.Space(**parameters))


def test_without_exploring_all_become_alike():
    records = study(replace(EAGER, explore=None, exploit=hd.Truncation(0.5)), turns=60)
    found = the(records, "spread collapsed")
    assert (found.severity, found.hparams) == ("warning", ("x", "y"))
    assert found.advice.startswith("explore=hd.Perturb(), ")
    assert f"x from {diversity(records).of('x')[0]:.2g} to 0," in found.evidence


def test_one_of_two_is_a_note():
    toy = with_space(x=hd.Uniform(0, 1, move=hd.Resample()), y=hd.Uniform(0, 1, move=TINY))
    greedy = replace(EAGER, exploit=hd.Truncation(0.5))
    found = the(study(greedy, toy, turns=150), "spread collapsed")
    assert (found.severity, found.hparams) == ("note", ("y",))
    assert found.advice.startswith("explore=hd.Perturb(resample=0.25)")


TINY = hd.Shift(1e-4)


def test_with_more_exploring_already_even_more_is_advised():
    toy = with_space(x=hd.Uniform(0, 1, move=TINY), y=hd.Uniform(0, 1, move=TINY))
    little = replace(EAGER, explore=hd.Perturb(resample=0.01))
    found = of_kind(study(little, toy, turns=30), "spread collapsed")
    assert all("resample=0.25" in f.advice for f in found)
    assert found


@pytest.mark.parametrize("toy", [noisy(0.5), quadratic()])
def test_usual_moves_keep_members_apart(toy):
    assert not of_kind(study(hd.PBT(), toy, turns=40), "spread collapsed")


def test_what_was_alike_from_the_beginning_or_belongs_to_the_weights_did_not_collapse():
    alike = replace(noisy(), initial=tuple({"x": 0.5 + 1e-9 * i, "y": 0.5} for i in range(8)))
    assert not of_kind(study(replace(EAGER, explore=None), alike), "spread collapsed")
    kept = with_space(x=hd.Uniform(0, 1, move=hd.Keep()), y=hd.Uniform(0, 1, move=hd.Resample()))
    greedy = replace(EAGER, exploit=hd.Truncation(0.5))
    records = study(greedy, kept, turns=100)
    assert diversity(records).of("x")[-1] == 0
    assert not of_kind(records, "spread collapsed")


def test_the_best_value_lies_beyond_the_bound():
    """The toy's best x is 0.7."""
    toy = with_space(x=hd.Uniform(0.0, 0.5, move=hd.Shift(0.02)))
    records = study(toy=toy, members=10, turns=40)
    found = the(records, "stuck at a bound")
    assert found.hparams == ("x",)
    assert "its upper bound, 0.5" in found.evidence
    assert "allow x above 0.5" in found.advice
    codes = records.codes[records.now, 0]
    assert list(found.members) == np.flatnonzero(codes >= 0.95).tolist()
    assert len(found.members) >= 5


def test_the_lower_bound():
    toy = with_space(x=hd.Uniform(0.8, 1.3, move=hd.Shift(0.02)))
    found = the(study(toy=toy, members=10, turns=40), "stuck at a bound")
    assert "its lower bound, 0.8" in found.evidence
    assert "allow x below 0.8" in found.advice


def test_bounds_that_were_changed_are_those_in_force():
    toy = with_space(x=hd.Uniform(0.0, 0.5, move=hd.Shift(0.02)))
    play = Play(toy.definition(EAGER, 10), hd.Steps(400), toy.run)
    while play.population.ended_count < 390:
        play.turn()
    assert of_kind(play.population, "stuck at a bound")
    play.append(ev.BoundsChanged("x", 0.0, 2.0))
    assert not of_kind(play.population, "stuck at a bound")


def test_within_the_bounds_nothing_is_stuck():
    toy = with_space(x=hd.Uniform(0.0, 1.0, move=hd.Shift(0.05)))
    assert not of_kind(study(toy=toy, members=10, turns=40), "stuck at a bound")


def test_a_number_that_drifts_towards_0_is_not_blocked_by_it():
    """Multiplied values come close to 0; the toy does not care for y."""
    for seed in range(3):
        records = study(members=16, turns=40, seed=seed)
        assert "y" not in {f.hparams[0] for f in of_kind(records, "stuck at a bound")}


def test_lists_and_what_belongs_to_the_weights_cannot_be_stuck():
    for x in (hd.Ordinal([0.8, 0.9, 1.0, 1.1, 1.2]), hd.Uniform(0.0, 0.5, move=hd.Keep())):
        first = ({"x": 0.5 if isinstance(x, hd.Uniform) else 0.8, "y": 0.5},)
        toy = replace(with_space(x=x, y=hd.Uniform(0, 1, move=hd.Resample())), initial=first)
        assert not of_kind(study(toy=toy, members=10, turns=40), "stuck at a bound")


def test_nothing_is_said_of_a_study_that_is_short():
    toy = with_space(x=hd.Uniform(0.0, 0.5, move=TINY))
    for records in (study(toy=toy, turns=9), study(toy=toy, members=3)):
        assert not of_kind(records, "spread collapsed")
        assert not of_kind(records, "stuck at a bound")
