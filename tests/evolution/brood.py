"""A study whose endings the test decides on, and whose every trial the algorithm proposes."""

from dataclasses import replace

from evolution.story import Story
from heredity.evolution import events as ev
from heredity.evolution.generational import Generational
from heredity.evolution.trial import Checkpoint


class Brood(Story):
    def __init__(self, algorithm=None, members=2, **definition):
        super().__init__(algorithm or Generational(), members, **definition)

    def begin(self, member, **changes):
        """The lane's next trial, as proposed but for these changes, running."""
        proposal = replace(self.proposals(len(self.population.spent))[member], **changes)
        trial = len(self.population)
        self.append(ev.TrialProposed(trial, trial, proposal))
        return self.start(trial)

    def end(self, member, score=0.0, **metrics):
        """The lane's next trial, finished."""
        return self.finish(self.begin(member), score, **metrics)

    def generation(self, *scores):
        """A whole generation, finished with these scores by member; returns the trials."""
        return [self.end(member, score) for member, score in enumerate(scores)]

    def diverged(self, member):
        trial = self.begin(member)
        self.append(ev.TrialDiverged(trial, 0, "nan"))
        return trial

    def stopped(self, member, reached, score=0.0):
        trial = self.begin(member)
        saved = Checkpoint(f"memory:{trial}", 1, "")
        self.append(ev.TrialStopped(trial, 0, reached, score, {"q": score}, saved))
        return trial

    def failed(self, member):
        trial = self.begin(member)
        self.fail(trial)
        self.fail(self.start(trial))
        return trial

    def child(self, member):
        """What the lane is to train next."""
        return self.proposals(len(self.population.spent))[member]

    @property
    def retained(self):
        return self.definition.algorithm.retains(self.view)
