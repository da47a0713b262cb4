"""The moves every algorithm makes with a lane: start it from scratch, or go on.

Proposals are filled in here so that turns, steps and sources agree for all algorithms.
"""

from __future__ import annotations

from typing import Any

from heredity.evolution.trial import Proposal
from heredity.evolution.view import View


def from_scratch(view: View, member: int, reason: str) -> Proposal:
    """A start from no weights, with hparams of the first sample or the prior."""
    turn = int(view.turns[member])
    return Proposal(
        member=member,
        turn=turn,
        hparams=view.newcomer(member, turn),
        start=0,
        stop=view.steps_left(member),
        reason=reason,
    )


def go_on(view: View, member: int, **changes: Any) -> Proposal:
    """The lane's next trial from its own last one, with the same hparams."""
    last = int(view.latest[member])
    start = int(view.steps[member])
    fields: dict[str, Any] = {
        "member": member,
        "turn": int(view.turns[member]),
        "weights_from": last,
        "hparams_from": (last,),
        "hparams": view.proposal(last).hparams,
        "start": start,
        "stop": start + view.steps_left(member),
        "reason": "goes on",
    }
    return Proposal(**{**fields, **changes})


def can_go_on(view: View, last: int) -> bool:
    """Whether a lane can go on from the trial that it ended last: that one ended well, and its
    state is there; a checkpoint that was found damaged is not."""
    ended_well = view.status(last) in ("finished", "stopped")
    return ended_well and view.can_give(last)


def going_on_from(view: View) -> set[int]:
    """The checkpoints that idle lanes need to go on: their last trial's, or, where that failed for
    good, the one that it began from."""
    latest = view.latest[view.open < 0]  # at the end too: a larger budget reopens the study
    latest = latest[latest >= 0]
    kept = set(latest[view.inheritable(latest)].tolist())
    for trial in latest[~view.inheritable(latest)].tolist():
        source = view.proposal(trial).weights_from
        if view.status(trial) == "failed" and source is not None and view.can_give(source):
            kept.add(source)
    return kept
