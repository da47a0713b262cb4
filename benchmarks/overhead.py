"""What the library itself costs: per trial, to open a long log, to import, to ask for a status.

    python benchmarks/overhead.py

Ratios and medians, each made in fresh processes or on fresh logs on disk.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy
import sqlalchemy
from drive import COUNTED, drive
from report import circumstances, publish, table
from toy import Counting, creation, definition_of, outcome

import heredity as hd
from heredity.evolution.decide import next_events
from heredity.evolution.events import TrialStarted
from heredity.log import Log
from heredity.outcomes import as_event
from heredity.stores import DATABASE, open_store

POPULATIONS = (10, 100, 1_000, 10_000)
LENGTHS = (1_000, 10_000, 100_000)
PARTS = ("next_events", "append", "release", "rest", "mean", "median")
IMPORT_RUNS = 11

OURS = "import heredity as hd; hd.Study; hd.Space(lr=hd.LogUniform(1e-4, 1))"
THEIRS = "import numpy"
_TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
_OPEN = (
    "import heredity as hd; import heredity.study, heredity.stores.sql; import time; "
    "t = time.perf_counter(); result = hd.open('toy', {!r}); print(time.perf_counter() - t); "
    "assert len(result.population) >= {}"
)


def trials(populations: Sequence[int], folder: Path) -> str:
    """The table of the driver's work per trial."""
    lines = []
    for local in (False, True):
        for population in populations:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                figures = drive(population, Path(place), local)
            files = "on disk" if local else "counted only"
            cells = [f"{figures.get(part, 0.0):.3f}" for part in PARTS]
            lines.append([f"{population:,}", files, *cells])
            _say(f"population {population}, checkpoints {files}: {figures['median']:.3f} ms")
    head = ["population", "checkpoints", *PARTS]
    return f"Driver, ms per trial (means of {COUNTED:,} trials)\n\n{table(head, lines)}"


def opening(lengths: Sequence[int], folder: Path) -> str:
    """The table of opening logs, cold and from a snapshot, and of `heredity status`."""
    lines = []
    for length in lengths:
        place = folder / str(length)
        write_log(length, place)
        snapshot = open_s(length, place) if has_snapshot(place) else None
        state = status_s(place)
        forget_snapshot(place)
        cold = open_s(length, place)
        size = sum(file.stat().st_size for file in place.glob(f"{DATABASE}*")) / 1e6
        shown = [f"{length:,}", f"{size:.1f}", f"{cold:.2f}", _or_none(snapshot), _or_none(state)]
        lines.append(shown)
        _say(f"a log of {length} trials: cold {cold:.2f} s, snapshot {snapshot}, status {state}")
    head = ["trials", "log, MB", "cold, s", "from snapshot, s", "`heredity status`, s"]
    return f"Opening a study (medians of 3 fresh processes)\n\n{table(head, lines)}"


def write_log(length: int, folder: Path, population: int = 100) -> None:
    """A log of so many trials, as a study would write it, in larger blocks."""
    definition, files, store = definition_of(population), Counting(), open_store(folder)
    store.create("toy", [creation(definition, hd.Trials(length))])
    log = Log(store, "toy")
    while log.population.status == "running":
        log.append(next_events(log.population, definition, population))
        waiting = list(log.population.waiting)
        log.append([TrialStarted(trial, 0, "worker-0") for trial in waiting])
        records = [log.population.trial(trial) for trial in waiting]
        ends = [outcome(record, files.save(record.id, 0, lambda _: None)) for record in records]
        log.append([as_event(e, r, "score", "") for e, r in zip(ends, records, strict=True)])
        log.save_snapshot()
    store.close()


def open_s(length: int, folder: Path) -> float:
    """Seconds that opening takes in a fresh process, imports done."""
    return statistics.median(python_s(_OPEN.format(str(folder), length)) for _ in range(3))


def has_snapshot(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / DATABASE)) as database:
        return bool(database.execute("SELECT count(*) FROM snapshots").fetchone()[0])


def forget_snapshot(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DATABASE)) as database, database:
        database.execute("DELETE FROM snapshots")


def status_s(folder: Path) -> float | None:
    """Seconds that `heredity status` takes as a person sees it; None if it does not work."""
    program = Path(sys.executable).with_name("heredity")
    spans = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [program, "status", "toy", "--storage", folder], capture_output=True, text=True
        )
        spans.append(time.perf_counter() - began)
        if done.returncode:
            _say(f"`heredity status` failed: {(done.stderr or done.stdout).strip()[-300:]}")
            return None
    return statistics.median(spans)


def imports() -> str:
    """The table of imports."""
    spans: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for _ in range(IMPORT_RUNS):
        for code, seen in spans.items():
            seen.append(python_s(_TIMED.format(code)))
    ours, theirs = (statistics.median(seen) for seen in spans.values())
    lines = [
        [f"`{THEIRS}`", f"{theirs * 1e3:.0f}", "1.00 ×"],
        [f"`{OURS}`", f"{ours * 1e3:.0f}", f"{ours / theirs:.2f} ×"],
    ]
    what = f"Import (medians of {IMPORT_RUNS} fresh processes)"
    return f"{what}\n\n{table(['code', 'ms', 'ratio'], lines)}"


def python_s(code: str) -> float:
    """The seconds that code prints, run in a fresh process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _or_none(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="overhead-", dir=arguments.folder) as folder:
        parts = [
            imports(),
            opening(arguments.lengths, Path(folder)),
            trials(arguments.populations, Path(folder)),
        ]
    versions = {
        "heredity": hd.__version__,
        "numpy": numpy.__version__,
        "SQLAlchemy": sqlalchemy.__version__,
        "SQLite": sqlite3.sqlite_version,
    }
    text = "\n\n".join([*parts, circumstances(versions)])
    print(text) if arguments.dry else publish("overhead", text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--populations", type=int, nargs="*", default=POPULATIONS)
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS)
    parser.add_argument("--folder", help="where logs go; a temporary folder")
    parser.add_argument("--dry", action="store_true", help="print, and leave README.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
