"""Signs in the members: some are left behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from heredity.analysis.health.finding import Finding, enough, ids
from heredity.analysis.records import Bools, Records

# Members that wait are served in order of what they have had, so uneven workers alone cost a lane
# an interval or two. Half of the median, over at least ten turns, is something else.
STARVING = 0.5


def starving(records: Records) -> Iterator[Finding]:
    """Members that have had far less training than the others."""
    if not enough(records, members=2):
        return
    median = float(np.median(records.paid))
    behind = records.paid + records.interval < STARVING * median
    if not behind.any():
        return
    members = np.flatnonzero(behind)
    failed = np.flatnonzero(records.failed & behind[records.member])
    running = _running(records) & behind[records.member]
    poorest = int(members[np.argmin(records.paid[members])])
    yield Finding(
        kind="starving",
        severity="warning",
        evidence=(
            f"member {poorest} was trained for {records.paid[poorest]:,} steps and the median "
            f"member for {median:,.0f}; so far behind: {len(members)} of {records.lanes}"
            + (f"; {len(failed)} of their trials failed" if len(failed) else "")
        ),
        advice=_advice(len(failed) > 0),
        trials=ids(failed if len(failed) else np.flatnonzero(running)),
        members=ids(members),
    )


def _advice(failing: bool) -> str:
    if failing:
        return "the space: leave out the values with which training fails"
    return "timeout_s: a shorter one, so that a trial that hangs is tried again elsewhere"


def _running(records: Records) -> Bools:
    return records.trained & ~records.ended & ~records.failed
