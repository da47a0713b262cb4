"""What a healthy study is told, and in which order an unhealthy one is."""

from dataclasses import replace

import pytest
from studies import EAGER, study

import heredity as hd
from evolution.story import Story
from heredity.analysis.health import SIGNS, findings
from heredity.analysis.records import read
from heredity.testing.moving import moving
from heredity.testing.play import Play, mishaps
from heredity.testing.toys import noisy, quadratic


@pytest.mark.parametrize("toy", [noisy(0.5), quadratic(), moving(400)])
def test_a_healthy_study_is_told_nothing(toy):
    assert findings(study(hd.PBT(), toy, members=16, turns=40)) == []


def test_warnings_come_first():
    space = hd.Space(x=hd.Uniform(0.0, 0.5, move=hd.Shift(0.02)))
    greedy = replace(EAGER, exploit=hd.Truncation(0.5))
    found = findings(study(greedy, replace(noisy(0.01), space=space), turns=100))
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, key=["warning", "note"].index)
    assert len({finding.kind for finding in found}) >= 2
    assert all(finding.evidence and finding.advice for finding in found)


def test_every_sign_can_look_at_any_moment():
    """From the first event on, whatever befalls, no sign raises."""
    toy = noisy()
    befalls = mishaps(2, error=0.1, lost=0.05, diverged=0.2, stopped=0.2)
    play = Play(toy.definition(EAGER, 5, 4), hd.Steps(60), toy.run, order=1, mishaps=befalls)
    findings(read(play.population))
    while play.turn():
        findings(read(play.population))


def test_a_study_in_which_all_diverge():
    play_all = mishaps(0, diverged=1.0)
    records = study(mishaps=play_all)
    assert {finding.kind for finding in findings(records)} <= {"exploits always", "exploits never"}


def test_members_of_one_value_and_without_scores():
    story = Story(space=hd.Space(x=hd.Constant(0.5)), members=4)
    for _ in range(12):
        for member in range(4):
            story.finish(story.run(member, evaluations=0), None)
    assert {finding.kind for finding in findings(read(story.population))} <= {"exploits never"}


def test_each_sign_is_looked_for_once():
    assert len(set(SIGNS)) == len(SIGNS) == 10
