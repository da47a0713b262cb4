"""The health of a study, during the run and after: what deserves a look, and the one setting to
change. It judges from the log alone, and says nothing where the evidence is thin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from heredity.analysis.health.finding import Finding as Finding
from heredity.analysis.health.finding import Severity as Severity
from heredity.analysis.health.hparams import spread_collapsed, stuck_at_a_bound
from heredity.analysis.health.inheritance import (
    exploits_always,
    exploits_never,
    falling_after_exploits,
    one_ancestor,
)
from heredity.analysis.health.members import starving
from heredity.analysis.health.scores import interval_too_long, interval_too_short, running_away
from heredity.analysis.records import Records

Sign = Callable[[Records], Iterator[Finding]]

SIGNS: tuple[Sign, ...] = (
    starving,
    exploits_never,
    exploits_always,
    falling_after_exploits,
    one_ancestor,
    spread_collapsed,
    stuck_at_a_bound,
    running_away,
    interval_too_short,
    interval_too_long,
)
"""All that is looked for; each yields what it finds."""


def findings(records: Records) -> list[Finding]:
    """What deserves a look, warnings first; nothing of a study that is healthy or short."""
    found = [finding for sign in SIGNS for finding in sign(records)]
    return sorted(found, key=lambda finding: finding.severity != "warning")
