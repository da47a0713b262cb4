"""Members that are left behind."""

import numpy as np
from studies import of_kind, study, the

import heredity as hd
from heredity.testing.play import Play
from heredity.testing.toys import noisy


def running(speeds, turns, **options):
    """A study in the middle of its run, with workers of these speeds."""
    toy = noisy()
    play = Play(toy.definition(hd.PBT(), 6), hd.Steps(1000), toy.run, speeds=speeds, **options)
    for _ in range(turns):
        play.turn()
    play.decide()
    play.launch()
    return play.population


def test_a_trial_that_hangs_starves_its_member():
    population = running([1.0, 1.0, 1e-6], turns=60)
    found = the(population, "starving")
    (member,) = found.members
    assert population.spent[member] == 0
    assert found.trials == (population.open_trial[member],)
    assert (found.severity, "timeout_s" in found.advice) == ("warning", True)
    median = int(np.median(population.spent))
    told = f"member {member} was trained for 0 steps and the median member for {median};"
    assert found.evidence == f"{told} so far behind: 1 of 6"


def test_trials_that_fail_starve_their_member():
    def befalls(trial):
        return "error" if trial.member == 2 else None

    found = the(running([1.0, 1.0], turns=150, mishaps=befalls), "starving")
    assert (found.members, "their trials failed" in found.evidence) == ((2,), True)
    assert found.advice.startswith("the space")
    assert len(found.trials) > 0


def test_uneven_workers_starve_nobody():
    assert not of_kind(running([1.0, 0.5, 0.2], turns=60), "starving")
    assert not of_kind(study(hd.PBT(), order=3), "starving")


def test_a_study_that_has_just_begun_starves_nobody():
    assert not of_kind(running([1.0, 1.0, 1e-6], turns=20), "starving")
