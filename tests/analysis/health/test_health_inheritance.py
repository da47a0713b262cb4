"""Who takes over whom: too rarely, too often, in vain, or from one ancestor alone."""

import re

import pytest
from studies import EAGER, Always, of_kind, shaken, study, the

import heredity as hd
from heredity.analysis.exploits import exploits, summary
from heredity.analysis.lineage import founders
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy


@pytest.mark.parametrize(
    ("algorithm", "advice"),
    [
        (
            hd.PBT(ready=hd.Every(1000)),
            "nobody may exploit before step 1,000, and a member has 200",
        ),
        (hd.PBT(ready=hd.Every(0), exploit=hd.Deadband(100.0)), "exploit=hd.Deadband(width=50)"),
        (hd.PBT(ready=hd.Every(0), exploit=hd.TTest(1e-12)), "exploit=hd.Truncation() instead"),
        (hd.Stopping(hd.PBT(ready=hd.Every(1000))), "ready=hd.Every(0.05)"),
    ],
    ids=["ready too late", "deadband too wide", "test too strict", "within another"],
)
def test_a_rule_that_never_fires(algorithm, advice):
    found = the(study(algorithm), "exploits never")
    assert advice in found.advice
    assert "in 160 trials of 8 members none took over" in found.evidence


@pytest.mark.parametrize(
    "algorithm",
    [
        EAGER,
        hd.RandomSearch(),
        hd.PBT(exploit=None),
        hd.PBT(exploit=hd.Truncation(0.0)),
        hd.Generational(),
    ],
    ids=["it fires", "no rule", "told not to", "told never to", "another algorithm"],
)
def test_a_rule_that_fires_or_was_told_not_to(algorithm):
    assert not of_kind(study(algorithm), "exploits never")


def test_a_member_that_is_not_ready_yet_will_be():
    """It may exploit after 15 of 20 turns: nothing is said in the 12th, nor soon after the 15th."""
    algorithm = hd.PBT(exploit=hd.TTest(1e-12), ready=hd.Every(0.75))
    toy = noisy()
    for turns in (12, 17, 20):
        play = Play(toy.definition(algorithm, 4), hd.Steps(200), toy.run)
        while play.population.ended_count < 4 * turns:
            play.turn()
        assert not of_kind(play.population, "exploits never")


def test_everybody_always_takes_over():
    records = study(hd.PBT(exploit=Always(), ready=hd.Every(0), mode="sync"))
    found = the(records, "exploits always")
    assert "in 152 of 152 trials" in found.evidence
    assert "hd.Truncation()" in found.advice
    assert records.exploit[list(found.trials)].all()


def test_members_that_diverge_are_replaced_all_the_time():
    found = the(study(mishaps=mishaps(0, diverged=0.7)), "exploits always")
    (often, rescued) = re.search(r"^in (\d+) of .*, (\d+) of them after", found.evidence).groups()
    assert int(rescued) > int(often) / 2
    assert found.advice.startswith("the space")


@pytest.mark.parametrize("exploit", [hd.Tournament(), hd.Truncation(0.5)])
def test_rules_that_take_half_do_not_take_all(exploit):
    records = study(hd.PBT(exploit=exploit, ready=hd.Every(0), mode="sync"))
    assert not of_kind(records, "exploits always")


def test_a_change_of_hparams_that_hurts():
    records = study(toy=shaken(40.0), members=12)
    found = the(records, "falling after exploits")
    told = summary(exploits(records))
    changed = f"after one of {told.judged} exploits the score changed by {told.gain:.3g}"
    assert changed in found.evidence
    assert found.advice.startswith("ramp=0.5")
    assert records.exploit[list(found.trials)].all()


def test_with_a_ramp_already_the_moves_are_to_blame():
    algorithm = hd.PBT(ready=hd.Every(0), mode="sync", ramp=0.5)
    found = the(study(algorithm, shaken(40.0), members=12), "falling after exploits")
    assert found.advice.startswith("move")


def test_a_change_that_hurts_less_than_it_brings():
    for seed in range(3):
        records = study(toy=shaken(12.0), members=12, seed=seed)
        assert summary(exploits(records)).gain < 0
        assert not of_kind(records, "falling after exploits")


@pytest.mark.parametrize("noise", [0.01, 0.5, 5.0, 100.0])
def test_where_exploits_pay_or_only_luck_decides_nothing_falls(noise):
    for seed in range(3):
        records = study(toy=noisy(noise), members=12, seed=seed)
        assert not of_kind(records, "falling after exploits")


def test_one_ancestor_since_early_on():
    greedy = hd.PBT(exploit=hd.Truncation(0.5), ready=hd.Every(0), mode="sync")
    records = study(greedy, toy=noisy(0.01), turns=120)
    found = the(records, "one ancestor")
    (founder, *_) = founders(records)
    assert (found.trials, found.members) == ((founder.trial,), (founder.member,))
    told = f"of 1,200 all 8 members go back to trial {founder.trial}, a start of member"
    assert told in found.evidence
    assert found.advice.startswith("ready=hd.Every(0.05) instead of 0")


def test_a_generational_study_is_told_to_have_more_members():
    records = study(hd.Generational(), toy=noisy(0.01), members=4, turns=100)
    assert the(records, "one ancestor").advice == "population=8 instead of 4"


def test_several_ancestors_or_one_at_last():
    late = study(toy=noisy(0.01), members=16, turns=20)
    assert not of_kind(late, "one ancestor")
    assert not of_kind(study(hd.RandomSearch()), "one ancestor")


def test_nothing_is_said_of_a_study_that_is_short():
    always = hd.PBT(exploit=Always(), ready=hd.Every(0), mode="sync")
    for records in (
        study(hd.PBT(ready=hd.Every(1000)), turns=9),
        study(always, turns=9),
        study(always, members=3),
        study(toy=shaken(40.0), turns=9),
    ):
        for kind in ("exploits never", "exploits always", "falling after exploits", "one ancestor"):
            assert kind == "exploits never" or not of_kind(records, kind)
    assert not of_kind(study(hd.PBT(ready=hd.Every(1000)), turns=9), "exploits never")
