"""What it takes to analyse a long study: to read its trials, and every function of the analysis.

    python benchmarks/analysis.py

The log is made in memory, since what is timed begins with the folded state: of a log that was read
from its beginning, or of a snapshot, whose records of old trials are still packed. Members exploit
whenever they can, so that the tree branches as often as it may.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy
from report import circumstances, publish, table
from toy import Counting, creation, definition_of, outcome

import heredity as hd
from heredity.analysis.course import course
from heredity.analysis.diversity import diversity
from heredity.analysis.exploits import exploits, summary
from heredity.analysis.gap import gap
from heredity.analysis.health import findings
from heredity.analysis.lineage import effective_ancestors, family, founders, spending
from heredity.analysis.noise import noise
from heredity.analysis.records import Records, read
from heredity.analysis.schedule import schedule
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition
from heredity.evolution.events import TrialStarted
from heredity.evolution.population import Population
from heredity.outcomes import as_event
from heredity.snapshot import dump, load

TRIALS = 100_000
POPULATIONS = (16, 100, 1_000)
RUNS = 3
SNAPSHOT = "read from a snapshot"


def population_of(trials: int, members: int) -> Population:
    """A study of so many trials that has ended."""
    definition = replace(definition_of(members), algorithm=hd.PBT(ready=hd.Every(0)))
    population = Population()
    population.apply([creation(definition, hd.Trials(trials))])
    while population.status == "running":
        _round(population, definition)
    return population


def _round(population: Population, definition: Definition) -> None:
    files = Counting()
    population.apply(next_events(population, definition, definition.population))
    waiting = list(population.waiting)
    population.apply([TrialStarted(trial, 0, "worker-0") for trial in waiting])
    records = [population.trial(trial) for trial in waiting]
    ends = [outcome(record, files.save(record.id, 0, lambda _: None)) for record in records]
    population.apply([as_event(e, r, "score", "") for e, r in zip(ends, records, strict=True)])


def timed_s(population: Population) -> dict[str, float]:
    """The seconds that each part takes, each with nothing prepared but what it is given."""
    spans: dict[str, float] = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        spans[name] = time.perf_counter() - began
        return result

    records: Records = timed("read", lambda: read(population))
    timed("family", lambda: family(records))
    timed("founders", lambda: founders(records))
    timed("effective_ancestors", lambda: effective_ancestors(records))
    timed("spending", lambda: spending(records))
    winner = timed("schedule", lambda: schedule(population, population.best or 0))
    timed("course", lambda: course([winner], records.space, window=50))
    timed("diversity", lambda: diversity(records))
    timed("exploits, summary", lambda: summary(exploits(records)))
    timed("gap", lambda: gap(records))
    timed("noise", lambda: noise(records))
    timed("findings", lambda: findings(records))
    spans["all"] = sum(spans.values())
    packed = load(dump(population))
    assert packed is not None
    timed(SNAPSHOT, lambda: read(packed))
    spans[f"all, {SNAPSHOT}"] = spans["all"] - spans["read"] + spans[SNAPSHOT]
    return spans


def lines(trials: int, populations: Sequence[int]) -> list[list[str]]:
    """A row for each part and one for all, a column for each population."""
    columns = []
    for members in populations:
        population = population_of(trials, members)
        runs = [timed_s(population) for _ in range(RUNS)]
        column = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        columns.append(column)
        _say(f"{trials:,} trials of {members:,} members: {columns[-1]['all']:.2f} s")
    return [[part, *(f"{column[part]:.3f}" for column in columns)] for part in columns[0]]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    arguments = _arguments()
    head = ["seconds", *(f"{members:,} members" for members in arguments.populations)]
    title = f"Analysis of {arguments.trials:,} trials (medians of {RUNS} runs)"
    rows = lines(arguments.trials, arguments.populations)
    versions = {"heredity": hd.__version__, "numpy": numpy.__version__}
    text = f"{title}\n\n{table(head, rows)}\n\n{circumstances(versions)}"
    print(text) if arguments.dry else publish("analysis", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--populations", type=int, nargs="*", default=POPULATIONS)
    parser.add_argument("--dry", action="store_true", help="print, and leave README.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
