"""Carrying out injections: one of the next proposals takes the hparams and weights a person gave.

It works on the proposals of any algorithm and knows none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from heredity.evolution.state import Injection
from heredity.evolution.trial import Proposal
from heredity.evolution.view import View


def carry_out(
    view: View, proposals: Sequence[Proposal], injections: Sequence[Injection]
) -> tuple[Proposal, ...]:
    """The proposals, of which the weakest lanes carry out the injections, oldest first.

    An injection of weights whose checkpoint has gone starts from scratch, and its reason says so.
    """
    if not injections:
        return tuple(proposals)
    result = list(proposals)
    order = _weakest_first(view, proposals)
    for position, injection in zip(order, injections, strict=False):
        result[position] = _injected(view, result[position], injection)
    return tuple(result)


def _weakest_first(view: View, proposals: Sequence[Proposal]) -> list[int]:
    scores = np.nan_to_num(view.scores[:, 0], nan=-np.inf)
    return sorted(
        range(len(proposals)),
        key=lambda i: (scores[proposals[i].member], -proposals[i].member),
    )


def _injected(view: View, proposal: Proposal, injection: Injection) -> Proposal:
    source, note = injection.weights_from, ""
    if source is not None and not view.can_give(source):
        source, note = None, f"; the checkpoint of trial {injection.weights_from} was released"
    start = 0 if source is None else view.step_of(source)
    return replace(
        proposal,
        weights_from=source,
        hparams_from=(),
        hparams=injection.hparams,
        ramp_from=None,
        ramp_steps=0,
        evaluations=1,
        start=start,
        stop=start + view.steps_left(proposal.member),
        evidence=(),
        injection=injection.number,
        reason=f"injected by a person{note}",
    )
