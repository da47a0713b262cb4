"""Signs in who takes over whom: too rarely, too often, in vain, or from one ancestor alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from heredity.analysis.exploits import exploits, summary
from heredity.analysis.health.finding import (
    LEAST_TURNS,
    Finding,
    algorithm_of,
    enough,
    ids,
    type_of,
)
from heredity.analysis.lineage import effective_ancestors, founders
from heredity.analysis.noise import noise
from heredity.analysis.records import Records

# That one ancestor remains is the end of any selection without noise (Goldberg and Deb 1991, the
# takeover time). In the first fifth of a run it means that most of the first sample was thrown away
# after one or two looks at it.
EARLY = 0.2

# No rule here fires in more than half of its contests: truncation takes at most the lower half, and
# of a tournament's two one wins. In 100 contests chance makes 60 of that once in 40 studies; more
# means that something else replaces members.
OFTEN = 0.6
LEAST_CONTESTS = 100

# Weights are taken over for their high score, which is partly luck, and luck does not stay: the
# fall to expect of that is below two deviations of the noise, and below half of what the exploit
# seemed to bring, since as much of the low score that it replaced was bad luck.
LOST = 0.5
DEVIATIONS = 3.0
LEAST_EXPLOITS = 20


def exploits_never(records: Records) -> Iterator[Finding]:
    """An algorithm that could exploit, and never did nor will."""
    rule = algorithm_of(records).get("exploit")
    if rule is None or not enough(records, members=2) or records.exploit.any():
        return
    if type_of(rule) == "Truncation" and rule["fraction"] == 0:  # as it was told
        return
    advice = _sooner(records) or _laxer(records, rule)
    if advice:
        yield Finding(
            kind="exploits never",
            severity="warning",
            evidence=(
                f"in {int(records.turns.sum())} trials of {records.lanes} members none took over "
                f"another's weights or hparams: so far this is a random search"
            ),
            advice=advice,
        )


def _sooner(records: Records) -> str:
    """Where nobody is ever ready to exploit."""
    wait = _wait_steps(records)
    if records.lane_steps is None or wait <= records.lane_steps - records.interval:
        return ""
    return (
        f"ready=hd.Every(0.05), since nobody may exploit before step {wait:,.0f}, and a member has "
        f"{records.lane_steps:,}"
    )


def _laxer(records: Records, rule: Mapping[str, Any]) -> str:
    """Where members were ready often enough, and the rule found nobody to take over."""
    chances = (float(np.median(records.paid)) - _wait_steps(records)) / records.interval
    if chances < LEAST_TURNS:
        return ""
    if type_of(rule) == "Deadband":
        return f"exploit=hd.Deadband(width={rule['width'] / 2:g}) instead of {rule['width']:g}"
    return f"exploit=hd.Truncation() instead of {type_of(rule)}"


def _wait_steps(records: Records) -> float:
    """The steps from a start until a member may exploit."""
    after = float(algorithm_of(records).get("ready", {}).get("after", 0.0))
    return after if after >= 1 else after * (records.lane_steps or 0)


def exploits_always(records: Records) -> Iterator[Finding]:
    """Nearly every trial began from another member's weights."""
    chances = records.ended & (records.previous >= 0)
    fired = records.exploit & chances
    count, often = int(chances.sum()), int(fired.sum())
    if not enough(records) or count < LEAST_CONTESTS or often <= OFTEN * count:
        return
    rescued = int((~records.well[records.previous[fired]]).sum())
    yield Finding(
        kind="exploits always",
        severity="warning",
        evidence=(
            f"in {often} of {count} trials a member gave up its weights or hparams for another's"
            + (f", {rescued} of them after a divergence" if rescued else "")
        ),
        advice=(
            "the space: narrower bounds, that leave out values with which training diverges"
            if rescued > often / 2
            else "exploit=hd.Truncation(), which takes over only the worst fifth"
        ),
        trials=ids(np.flatnonzero(fired)[-5:]),
    )


def falling_after_exploits(records: Records) -> Iterator[Finding]:
    """In the interval after an exploit, scores fall from those of the weights taken over."""
    effects = exploits(records)
    told, known = summary(effects), noise(records)
    lost = -told.gain
    if told.judged < LEAST_EXPLOITS or known.samples < LEAST_EXPLOITS or not lost > 0:
        return
    if lost < LOST * told.jump or lost + told.gain_alone < DEVIATIONS * known.deviation:
        return
    yield Finding(
        kind="falling after exploits",
        severity="warning",
        evidence=(
            f"in the interval after one of {told.judged} exploits the score changed by "
            f"{told.gain * records.sign:+.3g} on average, where going on brings "
            f"{told.gain_alone * records.sign:+.3g} and noise is ±{known.deviation:.2g}; taking "
            f"over had brought {told.jump * records.sign:+.3g}"
        ),
        advice=_gentler(records),
        trials=ids(effects.trial[effects.judged & (effects.later < effects.taken)][-5:]),
    )


def _gentler(records: Records) -> str:
    if algorithm_of(records).get("ramp") == 0:
        return "ramp=0.5, to reach new hparams gradually"
    return "move: smaller steps, such as hd.Scale((0.9, 1.1))"


def one_ancestor(records: Records) -> Iterator[Finding]:
    """All members go back to one start, since early in the run."""
    left = [founder for founder in founders(records) if founder.heirs]
    whole = max(records.lane_steps or 0, int(records.paid.max(initial=0)))
    if not enough(records) or len(left) != 1:
        return
    steps = records.grid()
    several = np.flatnonzero(effective_ancestors(records, steps) > 1)
    since = int(steps[several[-1] + 1]) if len(several) else int(steps[0])
    if since > EARLY * whole:
        return
    yield Finding(
        kind="one ancestor",
        severity="warning",
        evidence=(
            f"since step {since:,} of {whole:,} all {records.lanes} members go back to trial "
            f"{left[0].trial}, a start of member {left[0].member}"
        ),
        advice=_more_patience(records),
        trials=(left[0].trial,),
        members=(left[0].member,),
    )


def _more_patience(records: Records) -> str:
    ready = algorithm_of(records).get("ready")
    if ready is None:
        return f"population={2 * records.lanes} instead of {records.lanes}"
    now = float(ready["after"])
    later = 2 * now if now else 0.05
    return f"ready=hd.Every({later:g}) instead of {now:g}, to let members show what they can do"
