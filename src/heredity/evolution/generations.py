"""Generations on lanes: whose turn it is to initiate, and whom an initiator can meet.

A lane holds one place of the population. Its trials are that place's generations, and the trial
that ended last in an idle lane is the initiator of the lane's next one. So every trial initiates
once, and all follows from the log: of a child, `evidence[0]` is its initiator.

Age is what a lane has paid for. Of trials of even length that is the generation: once a lane has
paid for g + 1 intervals its trial of generation g has ended. Of trials that were stopped early it
still makes sure that no weights get older than the budget.

This file knows nothing of fitness, hparams or chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from heredity.evolution.view import View


def ready(view: View, free: int) -> list[int]:
    """Idle members that may start a trial, the one furthest behind first, at most `free`.

    A lane waits until every lane has had as many steps as it has, those of running trials included:
    until its own generation is complete.
    """
    had = view.spent.copy()
    for trial in view.running:
        proposal = view.proposal(trial)
        if proposal.kind == "train":
            had[proposal.member] += proposal.stop - proposal.start
    members: list[int] = []
    for member in view.idle()[: max(0, free)]:
        if view.spent[member] > had.min():
            break
        members.append(member)
        had[member] += view.steps_left(member)
    return members


def initiator(view: View, member: int) -> int:
    """The lane's trial that ended last, or −1. A trial that failed for good did not end: its
    initiator initiates again."""
    last = int(view.latest[member])
    failed = last >= 0 and view.status(last) == "failed"
    return int(view.newest[member]) if failed else last


def record(view: View, member: int, paid: int) -> int:
    """The lane's trial that ended last of those that it had paid for with at most `paid` steps, or
    −1: its latest of the generation of a lane that has paid so much, or of the one before."""
    return next((trial for trial, cost in _ended(view, member) if cost <= paid), -1)


def records_since(view: View, paid: int) -> set[int]:
    """All trials that `record` can return, now or later, for this many steps or more."""
    found = set()
    for member in range(view.size):
        for trial, cost in _ended(view, member):
            found.add(trial)
            if cost <= paid:
                break
    return found


def healthy(view: View, trial: int) -> bool:
    """Whether a trial may be a parent: it ended with a finite score, and its state is there."""
    if trial < 0 or not view.can_give(trial):
        return False
    return bool(np.isfinite(view.scores_of(np.array([trial]))[0, 0]))


def _ended(view: View, member: int) -> Iterator[tuple[int, int]]:
    """The lane's trials that ended, the last first, each with what the lane had paid by then. They
    are found up to the first one, or the last that a person injected."""
    trial, paid = initiator(view, member), int(view.spent[member])
    while trial >= 0:
        yield trial, paid
        proposal = view.proposal(trial)
        paid -= view.step_of(trial) - proposal.start
        trial = proposal.evidence[0] if proposal.evidence else -1
