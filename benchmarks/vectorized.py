"""A whole population as one program: heredity against loops written by hand, processes and Ray.

    python benchmarks/vectorized.py [--ray-python PATH] [--platform gpu]

The digits MLP, everybody evaluated and perhaps taken over after every 100 steps. Contestants take
turns, each in a fresh process that trains for about `--seconds`; figures are medians over `--runs`
rounds of turns, and ratios are made within a round before their median is taken. What cannot be
imported here is left out with a line. `--save` and `--load` part measuring from reporting.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import vectorized_report
from contestant import Load
from digits import write_digits
from population import Figures, Work
from report import circumstances, publish
from terminal import run_in_terminal
from throughput import DRAWN_BYTES, ENOUGH_ACCURACY, Contestant, rate_of
from vectorized_report import Measured

HERE = Path(__file__).parent
INTERVAL = 100
POPULATIONS = (1, 4, 16, 64, 256, 1024)
SLOW_POPULATIONS = (4, 16)
"""Of processes and of Ray Tune."""
SLOW_TRIALS = 20
"""Of each member there."""
WORKERS = 2

PROBES = {
    "jax": "import jax; print(jax.devices()[0].device_kind)",
    "torch": "import torch; print('cpu')",
    "torch gpu": "import torch; print(torch.cuda.get_device_name())",
}


@dataclass(frozen=True)
class One:
    """A contestant that trains a population in one process, or a member alone."""

    name: str
    script: str
    variant: str
    backend: str
    terminal: bool = False

    def takes(self, members: int) -> bool:
        """Whether it takes part with populations of this size."""
        return self.variant != "alone" or members == 1

    def run(self, work: Work, env: dict[str, str]) -> Figures:
        """Do the work in a fresh process, and check that it was done."""
        with tempfile.TemporaryDirectory(dir=work.folder) as folder:
            path = Path(folder) / "figures.json"
            words = json.dumps({**asdict(work), "variant": self.variant, "folder": folder})
            command = [sys.executable, str(HERE / self.script), words, str(path)]
            if self.terminal:
                self._in_terminal(command, env)
            else:
                _quietly(self.name, command, env)
            figures = Figures(**json.loads(path.read_text()))
        if figures.accuracy < ENOUGH_ACCURACY:
            print(f"warning: {self.name} learnt little: accuracy {figures.accuracy:.3f}")
        return figures

    def _in_terminal(self, command: Sequence[str], env: dict[str, str]) -> None:
        try:
            drawn = run_in_terminal(command, env)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{self.name} failed:\n{error.output}") from None
        if drawn.size_bytes < DRAWN_BYTES:
            print(f"warning: {self.name} drew {drawn.size_bytes} bytes: is there a live view?")


@dataclass(frozen=True)
class Many:
    """A contestant of the throughput benchmark: it trains every member in a process of its own."""

    name: str
    contestant: Contestant

    def takes(self, members: int) -> bool:
        return members in SLOW_POPULATIONS

    def run(self, work: Work, env: dict[str, str]) -> Figures:
        """The same in `Figures`: processes have no first round that is slower than the others."""
        trials = min(SLOW_TRIALS, self.contestant.most_trials)
        load = Load(work.members, trials, INTERVAL, work.data, work.folder, WORKERS, seed=work.seed)
        outcome = self.contestant.run(load)
        rounds = outcome.evaluations // work.members
        seconds = rounds * work.members * INTERVAL / rate_of(load, outcome)
        best, versions = outcome.accuracy, outcome.versions
        return Figures(rounds, seconds, 0.0, best, None, None, "cpu", versions)


ONES = (
    One("JAX by hand, one member alone", "reference_jax.py", "alone", "jax"),
    One("JAX by hand, no take-overs", "reference_jax.py", "plain", "jax"),
    One("JAX by hand", "reference_jax.py", "exploit", "jax"),
    One("heredity, JAX", "run_vectorized.py", "jax", "jax", terminal=True),
    One("torch.func by hand", "reference_torch.py", "exploit", "torch"),
    One("heredity, PyTorch", "run_vectorized.py", "torch", "torch", terminal=True),
)


def contestants(arguments: argparse.Namespace, env: dict[str, str]) -> list[One | Many]:
    """Everybody who can take part here."""
    devices = {b: _device(b, arguments.platform, env) for b in ("jax", "torch")}
    found: list[One | Many] = [one for one in ONES if devices[one.backend]]
    if arguments.platform == "gpu":
        return found
    if devices["torch"]:
        script = ("run_heredity.py", WORKERS)
        processes = Contestant("heredity, processes", *script, terminal=True)
        found.append(Many(f"heredity, `hd.Processes({WORKERS})`, PyTorch", processes))
    if arguments.ray_python:
        ray = Contestant("Ray Tune", "run_ray.py", WORKERS, python=arguments.ray_python)
        found.append(Many(f"Ray Tune PBT, {WORKERS} actors reused, PyTorch", ray))
    else:
        print("Ray Tune is left out: --ray-python gives an interpreter that has it")
    return found


def _device(backend: str, platform: str, env: dict[str, str]) -> str | None:
    """The name of the device that a backend would train on; None, with a line, if it cannot."""
    probe = PROBES.get(f"{backend} {platform}", PROBES[backend])
    found = subprocess.run(
        [sys.executable, "-c", probe], env=env, capture_output=True, text=True, check=False
    )
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"{backend} is left out, it finds no {platform}: {last}")
        return None
    print(f"{backend}: {found.stdout.strip()}")
    return found.stdout.strip()


def _quietly(name: str, command: Sequence[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")


def environment(platform: str) -> dict[str, str]:
    """Of all processes: JAX on the platform that was asked for."""
    return {**os.environ, "JAX_PLATFORMS": {"cpu": "cpu", "gpu": "cuda"}[platform]}


def measure(arguments: argparse.Namespace) -> list[Measured]:
    """All figures; contestants take turns, so that a slow minute is everybody's."""
    env = environment(arguments.platform)
    everybody, found = contestants(arguments, env), []
    with tempfile.TemporaryDirectory(prefix="vectorized-", dir=arguments.folder) as folder:
        data = Path(folder) / "digits.npz"
        write_digits(data)
        for members in arguments.populations:
            for run in range(arguments.runs):
                for each in everybody:
                    if not each.takes(members):
                        continue
                    work = Work(
                        "", members, INTERVAL, arguments.seconds, str(data), folder,
                        arguments.platform, seed=run,
                    )  # fmt: skip
                    found.append(Measured(each.name, members, run, each.run(work, env)))
                    rate = found[-1].rate(INTERVAL)
                    print(f"P = {members}, run {run + 1}: {each.name}: {rate:,.0f}/s", flush=True)
    return found


def main() -> None:
    arguments = _arguments()
    if arguments.load:
        kept = json.loads(Path(arguments.load).read_text())
        platform, where = kept["platform"], kept["where"]
        found = [
            Measured(m["name"], m["members"], m["run"], Figures(**m["figures"]))
            for m in kept["measured"]
        ]
    else:
        found, platform = measure(arguments), arguments.platform
        versions: dict[str, str] = {}
        for one in found:
            versions |= one.figures.versions
        where = _where(arguments, found) + circumstances(versions)
    if arguments.save:
        kept = {"platform": platform, "where": where, "measured": [asdict(m) for m in found]}
        Path(arguments.save).write_text(json.dumps(kept, indent=1))
    text = f"{vectorized_report.tables(found, INTERVAL)}\n\n{where}"
    if arguments.dry:
        print(text)
        return
    publish(f"vectorized-{platform}", text)
    picture = HERE / ("vectorized.png" if platform == "cpu" else f"vectorized-{platform}.png")
    vectorized_report.draw(found, INTERVAL, where.partition(";")[0], picture)


def _where(arguments: argparse.Namespace, found: Sequence[Measured]) -> str:
    devices = {m.figures.device for m in found} - {"cpu"}
    named = f"on {', '.join(sorted(devices))}; " if devices else ""
    return (
        f"Medians of {arguments.runs} runs of {arguments.seconds:g} s each, {named}K = {INTERVAL}. "
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--populations", type=int, nargs="+", default=POPULATIONS)
    parser.add_argument("--platform", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--ray-python", help="an interpreter with ray[tune], torch and numpy")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of training, each run")
    parser.add_argument("--quick", action="store_true", help="one run of 3 s, to see it work")
    parser.add_argument("--folder", help="where logs and checkpoints go; a temporary folder")
    parser.add_argument("--save", help="a file to keep the figures in")
    parser.add_argument("--load", help="measure nothing, report the figures of this file")
    parser.add_argument("--dry", action="store_true", help="print, and leave README.md alone")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.runs, arguments.seconds = 1, 3.0
    return arguments


if __name__ == "__main__":
    main()
