"""What this machine offers: processor cores and GPUs, and the environment that shares them out.

Asked without importing a framework: the driver holds none, and a GPU that a framework has seen
once stays as it was seen.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

THREADS = (
    "OMP_NUM_THREADS",  # torch too
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # XLA on CPU
)
"""Variables by which libraries are told, before they are imported, how many threads to start."""

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores this process may use: the smaller of its affinity and its container's share."""
    try:
        mine = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has none
        mine = os.cpu_count() or 1
    share = container_share()
    return max(1, mine if share is None else min(mine, int(share)))


def container_share(cgroup: Path = _CGROUP) -> float | None:
    """Cores' worth of time that the container grants, or None without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return None if int(quota) < 0 else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def gpus(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The GPUs this process may use, in the words of `CUDA_VISIBLE_DEVICES`."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return tuple(name for name in names if name not in ("", "-1", "NoDevFiles"))
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    count = sum(line.startswith("GPU ") for line in listing.splitlines())
    return tuple(str(index) for index in range(count))


def share(index: int, workers: int, threads: int | None, devices: Sequence[str]) -> dict[str, str]:
    """Environment variables that give worker `index` of `workers` its share of the machine.

    What the user's environment says already is kept, unless `threads` says otherwise.
    """
    count = str(threads or max(1, cores() // workers))
    names = THREADS if threads else [name for name in THREADS if name not in os.environ]
    variables = dict.fromkeys(names, count)
    if devices:
        variables["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
        variables |= _shared_memory(-(-workers // len(devices)))
    return variables


def _shared_memory(tenants: int) -> dict[str, str]:
    """JAX takes three quarters of a GPU at once; several workers on one GPU divide them."""
    name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    return {} if tenants == 1 or name in os.environ else {name: f"{0.75 / tenants:.3f}"}
