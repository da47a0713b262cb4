"""How benchmarks report: the machine, Markdown tables, and the place in README.md they go to."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

README = Path(__file__).with_name("README.md")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def circumstances(versions: Mapping[str, str]) -> str:
    """When, where, with what and by which command the figures were made."""
    known = {"Python": platform.python_version(), **versions}
    listed = ", ".join(f"{name} {version}" for name, version in known.items())
    command = shlex.join(["python", os.path.relpath(sys.argv[0]), *_shown(sys.argv[1:])])
    load = os.getloadavg()[0]
    return (
        f"{date.today()}; {cpu()}, {cores()} cores, {platform.system()}; {listed}; load average "
        f"at the end {load:.1f}. Made by `{command}`."
    )


def publish(name: str, text: str) -> None:
    """Print `text`, and put it between README.md's markers of this name."""
    print(text)
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = README.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{README} has no markers {begin} … {end}")
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def cpu() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _shown(arguments: Sequence[str]) -> list[str]:
    """The arguments; where things lie on this machine says nothing to anybody else."""
    return ["PATH" if os.path.isabs(argument) else argument for argument in arguments]
