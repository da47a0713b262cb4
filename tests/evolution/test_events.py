"""The union of events is closed: each has its fold, its rule and its name in the past tense."""

from typing import get_args

import pytest

from heredity.evolution import check, events, population
from heredity.evolution.transitions import STUDY, TRIAL

KINDS = get_args(events.Event)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_has_one_fold_and_one_rule(kind):
    assert kind in population._FOLD
    assert kind in check._RULES
    assert kind.__dataclass_params__.frozen


def test_nothing_but_events_is_folded():
    assert set(population._FOLD) == set(check._RULES) == set(KINDS)
    assert {kind for _, kind in STUDY} | {kind for _, kind in TRIAL} <= set(KINDS)
