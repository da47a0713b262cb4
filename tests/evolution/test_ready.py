"""When a member is ready to exploit."""

import pytest

from evolution.story import Story
from heredity.errors import UsageError
from heredity.evolution.budget import Seconds, Steps, Trials
from heredity.evolution.ready import Every


def ready_after(rule, budget):
    """How many trials of 10 steps it takes, first from the start and then from an exploit."""
    story, counts = Story(members=2, budget=budget), []
    for source in (None, 0):
        story.train(0, weights_from=source, hparams_from=(1,) if source is not None else ())
        if source is None:
            story.train(1)
        trials = 1
        while not rule.ready(story.view, 0):
            story.train(0)
            trials += 1
        counts.append(trials)
    return counts


@pytest.mark.parametrize(
    ("after", "budget", "trials"),
    [
        (30, Steps(1000), 3),
        (25, Steps(1000), 3),
        (1, Steps(1000), 1),
        (0, Steps(1000), 1),
        (0.05, Steps(1000), 5),
        (0.05, Trials(200), 5),
        (0.05, Seconds(60), 1),
    ],
)
def test_ready_after(after, budget, trials):
    assert ready_after(Every(after), budget) == [trials, trials]


@pytest.mark.parametrize("after", [-1, float("nan")])
def test_steps_that_make_no_sense(after):
    with pytest.raises(UsageError, match="Every"):
        Every(after)
