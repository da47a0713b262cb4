"""Population Based Training (Jaderberg et al. 2017, arXiv 1711.09846, algorithm 1).

One rule for one member, `PBT._next`, serves both modes: asynchronously a lane is decided when it is
idle and a slot is free; synchronously all lanes are decided when none is running.

By default a member at lineage step s is compared with, and takes over, the trial with the largest
stop ≤ s of each other lane. So the record whose score won is the record that is copied, nobody wins
by being older, and no weights get older than the budget.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from heredity.errors import UsageError
from heredity.evolution.algorithm import Algorithm, Decision
from heredity.evolution.exploit import Contest, Exploit, Field, Truncation
from heredity.evolution.explore import Explore, Perturb, as_explore
from heredity.evolution.lanes import can_go_on, from_scratch, go_on, going_on_from
from heredity.evolution.ready import Every
from heredity.evolution.trial import Proposal
from heredity.evolution.view import Ids, View
from heredity.space import Move

Fields = dict[int, Field]
"""The fields of one decision, by the step at which members stand."""


@dataclass(frozen=True)
class PBT(Algorithm):
    """Members train side by side; the weak take over the strong and explore.

    Attributes:
        exploit: whom a member takes over: `Truncation`, `Tournament`, `TTest`, `Deadband`, or None.
        explore: how the hparams taken over are changed: `Perturb`, a move for all, or None.
        ready: when a member may exploit.
        mode: "async" decides for each member when it is its turn; "sync" for all at once, when
            every member has finished its trial.
        copy: what is taken over: "all", only the "weights", or only the "hparams". Hparams that are
            part of the weights always go with them.
        compare: "same step", or "latest": each lane's newest trial whatever its age, as in the
            paper. With members of uneven speed, lineages then outgrow the budget.
        average: how many of the last scores along a lineage make its score.
        ramp: fraction of the first trial after an exploit over which new hparams are reached
            gradually.
        measure: fraction of members measured each turn, a random subset; the others train on
            unmeasured. A lane's last trial is always measured.
    """

    exploit: Exploit | None = Truncation()
    explore: Explore | Move[Any] | None = Perturb()
    ready: Every = Every()
    mode: Literal["async", "sync"] = "async"
    copy: Literal["all", "weights", "hparams"] = "all"
    compare: Literal["same step", "latest"] = "same step"
    average: int = 1
    ramp: float = 0.0
    measure: float = 1.0

    def __post_init__(self) -> None:
        as_explore(self.explore)
        _one_of("mode", self.mode, ("async", "sync"))
        _one_of("copy", self.copy, ("all", "weights", "hparams"))
        _one_of("compare", self.compare, ("same step", "latest"))
        if self.average < 1:
            raise UsageError(f"average is a number of scores ≥ 1, not {self.average!r}")
        if not 0 <= self.ramp <= 1:
            raise UsageError(f"ramp is a fraction of a trial from 0 to 1, not {self.ramp!r}")
        if not 0 < self.measure <= 1:
            raise UsageError(f"measure is a fraction above 0 and at most 1, not {self.measure!r}")

    # ------------------------------------------------------------------ deciding

    def decide(self, view: View, free: int) -> Decision:
        if self.mode == "sync" and view.running:
            return Decision()
        members = view.idle()
        chosen = members if self.mode == "sync" else members[: max(0, free)]
        fields: Fields = {}
        return Decision(tuple(self._measured(view, self._next(view, m, fields)) for m in chosen))

    def _next(self, view: View, member: int, fields: Fields) -> Proposal:
        last = int(view.latest[member])
        if last < 0:
            return from_scratch(view, member, "first start")
        if not can_go_on(view, last):
            return self._rescue(view, member, last, fields)
        taken_over = self._exploit(view, member, last, fields)
        return taken_over or go_on(view, member)

    def _exploit(self, view: View, member: int, last: int, fields: Fields) -> Proposal | None:
        if self.exploit is None or not self.ready.ready(view, member):
            return None
        contest = Contest(self._field(view, member, last, fields), member)
        if np.isnan(contest.scores[member]):
            return None
        donor = self.exploit.donor(contest)
        return None if donor is None else self._take_over(contest, donor, self.copy)

    def _rescue(self, view: View, member: int, last: int, fields: Fields) -> Proposal:
        """A new start for a lane that cannot go on: from a healthy donor, else from its own last
        good weights, else from the prior. Never from a step the lane has not paid for."""
        status = _what_is_wrong(view, last)
        contest = Contest(self._field(view, member, None, fields), member)
        donor = (self.exploit or Truncation()).rescuer(contest)
        if donor is not None:
            return self._take_over(contest, donor, "all", f"trial {last} {status}; ")
        own = view.proposal(last).weights_from
        if status == "failed" and own is not None and view.can_give(own):
            return self._restart_from(view, member, own, last)
        return from_scratch(view, member, f"trial {last} {status}; new start from the prior")

    def _restart_from(self, view: View, member: int, source: int, failed: int) -> Proposal:
        start = view.step_of(source)
        return go_on(
            view,
            member,
            weights_from=source,
            hparams_from=(source,),
            hparams=self._explored(view, member, view.proposal(source).hparams),
            start=start,
            stop=start + view.steps_left(member),
            reason=f"trial {failed} failed; trial {source} again with other hparams",
        )

    def _field(self, view: View, member: int, own: int | None, fields: Fields) -> Field:
        """Who the member is compared with, itself by the trial `own`."""
        step = int(view.steps[member])
        if step not in fields:
            same_step = self.compare == "same step"
            fields[step] = Field(view, view.records(step) if same_step else view.newest)
        if own is None or fields[step].trials[member] == own:
            return fields[step]
        trials = fields[step].trials.copy()
        trials[member] = own
        return Field(view, trials)

    def _take_over(self, contest: Contest, donor: int, copy: str, why: str = "") -> Proposal:
        view, member = contest.view, contest.member
        theirs, last = int(contest.trials[donor]), int(view.latest[member])
        weights = last if copy == "hparams" else theirs
        source = last if copy == "weights" else theirs
        inherited = self._inherited(view, weights, source)
        hparams = self._explored(view, member, inherited)
        start = view.step_of(weights)
        return go_on(
            view,
            member,
            weights_from=weights,
            hparams_from=(source,),
            hparams=hparams,
            start=start,
            stop=start + view.steps_left(member),
            evidence=(theirs, last),
            reason=why + self._because(contest, donor, theirs),
            **self._ramped(view, weights, hparams, view.steps_left(member)),
        )

    def _inherited(self, view: View, weights: int, source: int) -> dict[str, Any]:
        """The source's hparams, but those that are part of the weights come with the weights."""
        of_weights = view.proposal(weights).hparams
        kept = {name: of_weights[name] for name in view.space.kept}
        return {**view.proposal(source).hparams, **kept}

    def _explored(self, view: View, member: int, hparams: Any) -> dict[str, Any]:
        explore = as_explore(self.explore)
        if explore is None:
            return dict(hparams)
        return explore.explore(
            view.space, hparams, view.rng(member, int(view.turns[member]), "explore")
        )

    def _ramped(
        self, view: View, weights: int, hparams: dict[str, Any], steps: int
    ) -> dict[str, Any]:
        ramp_from = view.proposal(weights).hparams
        if not self.ramp or ramp_from == hparams:
            return {}
        return {"ramp_from": ramp_from, "ramp_steps": max(1, round(self.ramp * steps))}

    def _because(self, contest: Contest, donor: int, theirs: int) -> str:
        def shown(lane: int) -> str:
            return f"{contest.scores[lane] * contest.view.sign:.4g}"

        what = {"all": "", "weights": "the weights of ", "hparams": "the hparams of "}[self.copy]
        return (
            f"member {contest.member} ({shown(contest.member)}) takes over {what}"
            f"trial {theirs} of member {donor} ({shown(donor)})"
        )

    def _measured(self, view: View, proposal: Proposal) -> Proposal:
        """Drop the measurement unless the member is in this turn's random subset."""
        if self.measure == 1 or view.is_last_turn(proposal):
            return proposal
        rng = view.rng(0, proposal.turn, "measure")
        subset = rng.permutation(view.size)[: max(1, round(self.measure * view.size))]
        return proposal if proposal.member in subset else replace(proposal, evaluations=0)

    # ------------------------------------------------------------------ retaining

    def retains(self, view: View) -> set[int]:
        if self.compare == "latest":
            records: Ids = view.newest
            wanted = set(records[view.inheritable(records)].tolist())
        else:
            wanted = view.records_since(self._lowest_step(view))
        return wanted | going_on_from(view)

    def _lowest_step(self, view: View) -> int:
        """The lowest step at which a lane may be compared next: where it stands if it is idle, and
        where its open trial began, should that fail."""
        steps = view.steps.copy()
        for trial in view.running:
            proposal = view.proposal(trial)
            if proposal.kind == "train":
                steps[proposal.member] = proposal.start
        return int(steps.min())


def _what_is_wrong(view: View, last: int) -> str:
    status = view.status(last)
    return str(status) if status in ("diverged", "failed") else "lost its checkpoint"


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} is one of {', '.join(map(repr, choices))}; got {value!r}")
