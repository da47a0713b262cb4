"""Training throughput: heredity against a bare PyTorch loop and against Ray Tune's PBT.

    python benchmarks/throughput.py [--ray-python PATH]

All contestants run the training code of `digits.py` with one thread per process, in turns, `--runs`
times. The figure is the median of member-steps per second, from the first trial's start to the last
one's record, and its ratio to the bare loop on one core. Nobody's start-up is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from contestant import Load, Outcome
from digits import write_digits
from report import circumstances, publish, table
from terminal import run_in_terminal

HERE = Path(__file__).parent
MEMBERS = 16
STEPS = 2_000
INTERVALS = (100, 10)
ENOUGH_ACCURACY = 0.9
"""Below it somebody has not done the work."""
MOST_RAY_TRIALS = 20
"""Of each member, at any interval: the time per trial is what is measured."""
DRAWN_BYTES = 2_000
"""A live view draws more than this; fewer bytes mean that none was there to be paid for."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Contestant:
    """One row of the table: a script, how many processes it trains in, and how it is run.

    `most_trials` shortens the work of one that would take many minutes; its rate stays its rate.
    """

    name: str
    script: str
    workers: int
    python: str = sys.executable
    terminal: bool = False
    most_trials: int = 10**9

    def run(self, load: Load) -> Outcome:
        """Do the work in a fresh process, and check that it was done."""
        with tempfile.TemporaryDirectory(dir=load.folder) as folder:
            trials = min(load.trials, self.most_trials)
            mine = replace(load, trials=trials, folder=folder, workers=self.workers)
            answer = Path(folder) / "outcome.json"
            words = json.dumps(asdict(mine))
            command = [self.python, str(HERE / self.script), words, str(answer)]
            self._run(command, {**os.environ, **ONE_THREAD})
            outcome = Outcome(**json.loads(answer.read_text()))
        self._check(mine, outcome)
        return outcome

    def _run(self, command: Sequence[str], env: dict[str, str]) -> None:
        if not self.terminal:
            quiet = subprocess.run(command, env=env, capture_output=True, text=True)
            if quiet.returncode:
                raise SystemExit(f"{self.name} failed:\n{quiet.stdout}\n{quiet.stderr}")
            return
        try:
            drawn = run_in_terminal(command, env)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{self.name} failed:\n{error.output}") from None
        if drawn.size_bytes < DRAWN_BYTES:
            print(f"warning: {self.name} drew {drawn.size_bytes} bytes: is there a live view?")

    def _check(self, load: Load, outcome: Outcome) -> None:
        if outcome.evaluations < load.members * load.trials:
            raise SystemExit(f"{self.name} measured {outcome.evaluations} trials only")
        if outcome.accuracy < ENOUGH_ACCURACY:
            raise SystemExit(f"{self.name} learnt nothing: accuracy {outcome.accuracy:.3f}")


def contestants(workers: int, ray_python: str | None) -> list[Contestant]:
    """Everybody who takes part; the first is the reference."""
    found = [
        Contestant("bare PyTorch loop, 1 core", "run_bare.py", 1),
        Contestant(f"bare PyTorch loops, {workers} side by side", "run_bare.py", workers),
        Contestant("heredity, `hd.Inline()`", "run_heredity.py", 0, terminal=True),
        Contestant(
            f"heredity, `hd.Processes({workers})`", "run_heredity.py", workers, terminal=True
        ),
    ]
    if ray_python is None:
        print("Ray Tune is left out: --ray-python gives an interpreter that has it")
        return found
    name = f"Ray Tune PBT, synchronous, {workers} actors reused"
    ray = Contestant(name, "run_ray.py", workers, python=ray_python, most_trials=MOST_RAY_TRIALS)
    return [*found, ray]


def measure(
    everybody: Sequence[Contestant], load: Load, runs: int, say: Callable[[str], None]
) -> list[list[Outcome]]:
    """The outcomes of each contestant; they take turns, so that a slow minute is everybody's."""
    outcomes: list[list[Outcome]] = [[] for _ in everybody]
    for number in range(runs):
        for mine, contestant in zip(outcomes, everybody, strict=True):
            mine.append(contestant.run(replace(load, seed=number)))
            rate = rate_of(load, mine[-1])
            say(f"interval {load.interval}, run {number + 1}: {contestant.name}: {rate:,.0f}/s")
    return outcomes


def rate_of(load: Load, outcome: Outcome) -> float:
    """Member-steps per second."""
    return outcome.evaluations * load.interval / outcome.seconds


def rows(
    everybody: Sequence[Contestant], load: Load, outcomes: Sequence[Sequence[Outcome]]
) -> list[list[str]]:
    """The lines of the table for one load."""
    rates = [statistics.median(rate_of(load, o) for o in mine) for mine in outcomes]
    return [
        [
            contestant.name,
            str(load.interval),
            f"{rate:,.0f}",
            f"{rate / rates[0]:.2f} ×",
            f"{1e3 * load.interval / rate:.2f}",
            f"{statistics.median(o.accuracy for o in mine):.3f}",
        ]
        for contestant, rate, mine in zip(everybody, rates, outcomes, strict=True)
    ]


def main() -> None:
    arguments = _arguments()
    everybody = contestants(arguments.workers, arguments.ray_python)
    lines: list[list[str]] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="throughput-", dir=arguments.folder) as folder:
        data = Path(folder) / "digits.npz"
        write_digits(data)
        for interval in arguments.intervals:
            load = Load(MEMBERS, arguments.steps // interval, interval, str(data), folder)
            outcomes = measure(everybody, load, arguments.runs, _say)
            lines += rows(everybody, load, outcomes)
            for mine in outcomes:
                versions |= mine[0].versions
    head = ["contestant", "interval", "member-steps/s", "ratio", "ms per trial", "best accuracy"]
    what = (
        f"{MEMBERS} members × {arguments.steps:,} steps, medians of {arguments.runs} runs, "
        "one thread per process, heredity with its live view in a terminal; Ray Tune at most "
        f"{MOST_RAY_TRIALS} trials of each member."
    )
    text = f"{table(head, lines)}\n\n{what} {circumstances(versions)}"
    print(text) if arguments.dry else publish("throughput", text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ray-python", help="an interpreter with ray[tune], torch and numpy")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--intervals", type=int, nargs="+", default=INTERVALS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each member")
    parser.add_argument("--folder", help="where logs and checkpoints go; a temporary folder")
    parser.add_argument("--dry", action="store_true", help="print, and leave README.md alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
