"""What the service bears: many workers with trials that take no time, over real sockets.

    python benchmarks/service.py [--trials 50000] [--workers 64] [--population 1000]

The service runs as a process of its own, on SQLite, as `heredity serve` does. The workers are
connections of one lean client process, which says apart what it used itself. A pair is one suggest
and one complete, each a request of its own. Every trial publishes a checkpoint of one small file in
a shared folder, and the service deletes those that nothing wants any more; the folder is in memory
where there is such a place, since what is measured is not a disk with 64 writers.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastapi
import uvicorn
from report import circumstances, publish, table
from toy import INTERVAL, creation, definition_of

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.stores import open_store

NAME = "empty"
MEMORY = Path("/dev/shm")
PARTS = 10
"""Lines of the table: how flat it is from the first to the last trial."""


@dataclass
class Count:
    """What the workers saw so far, in seconds.

    Attributes:
        ended: when each pair ended.
        used: the service's processor time then, as often as a line of the table ends.
        suggest, complete: how long each request took.
    """

    every: int
    service: int
    ended: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    suggest: list[float] = field(default_factory=list)
    complete: list[float] = field(default_factory=list)


class Connection:
    """One kept-alive connection that posts JSON, with no more HTTP than this needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, verb: str, message: Any) -> Any:
        body = json.dumps(message).encode()
        head = (
            f"POST /studies/{NAME}/{verb} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].split("\r\n")[0])
        content = await self._reader.readexactly(length)
        if not answer.startswith("http/1.1 200"):
            raise SystemExit(f"{verb}: {answer.splitlines()[0]} {content.decode()}")
        return json.loads(content)


async def work(name: str, port: int, checkpoints: LocalCheckpoints, count: Count) -> None:
    """One worker, until the study ends."""
    link = Connection(*await asyncio.open_connection("127.0.0.1", port))
    while True:
        began = time.perf_counter()
        suggested = await link.post("suggest", {"worker": name})
        count.suggest.append(time.perf_counter() - began)
        if suggested["status"] == "ended":
            return
        for task in suggested["tasks"]:
            report = run(task["trial"], checkpoints)
            began = time.perf_counter()
            await link.post("complete", {"worker": name, "report": report})
            count.complete.append(time.perf_counter() - began)
            count.ended.append(time.perf_counter())
            if len(count.ended) % count.every == 0:
                count.used.append(cpu_s(count.service))
        if not suggested["tasks"]:
            await asyncio.sleep(0.02)


def run(trial: dict[str, Any], checkpoints: LocalCheckpoints) -> dict[str, Any]:
    """A trial that takes no time; its score says that longer training helps."""
    saved = None
    if trial["kind"] == "train":
        made = checkpoints.save(trial["id"], trial["attempt"], _write)
        saved = {"uri": made.uri, "size_bytes": made.size_bytes, "digest": made.digest}
    score = 1 - 1 / (1 + trial["stop"] / INTERVAL) + 1e-9 * (trial["seed"] % 1000)
    return {
        "trial": trial["id"],
        "attempt": trial["attempt"],
        "reached": trial["stop"],
        "metrics": {"score": score},
        "checkpoint": saved,
        "elapsed_s": 0.0,
    }


def _write(folder: Path) -> None:
    (folder / "state.bin").write_bytes(bytes(64))


async def all_work(workers: int, port: int, checkpoints: LocalCheckpoints, count: Count) -> None:
    """All workers side by side."""
    names = [f"worker-{number}" for number in range(workers)]
    await asyncio.gather(*(work(name, port, checkpoints, count) for name in names))


@contextmanager
def service(storage: Path, shared: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The service as a process of its own, and its port."""
    command = [sys.executable, "-c", "from heredity.cli import main; main()", "serve"]
    process = subprocess.Popen(
        [*command, "--storage", str(storage), "--folder", shared, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        yield process, port
    finally:
        process.terminate()
        process.communicate()


def cpu_s(pid: int) -> float:
    """Processor time that a process used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(population: int, workers: int, trials: int, folder: Path) -> str:
    """The table, and the figures below it; SQLite's file is in `folder`."""
    memory = MEMORY if MEMORY.is_dir() else folder
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        tempfile.TemporaryDirectory(dir=memory) as shared,
    ):
        storage = Path(place)
        store = open_store(storage)
        store.create(NAME, [creation(definition_of(population), hd.Trials(trials))])
        store.close()
        checkpoints = LocalCheckpoints(Path(shared) / NAME / "checkpoints")
        with service(storage, shared) as (process, port):
            before, mine = cpu_s(process.pid), _mine_s()
            began = time.perf_counter()
            count = Count(max(1, trials // PARTS), process.pid, used=[before])
            asyncio.run(all_work(workers, port, checkpoints, count))
            served_s, client_s = cpu_s(process.pid) - before, _mine_s() - mine
    return _told(count, began, served_s, client_s, workers, population)


def _mine_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _told(
    count: Count, began: float, served_s: float, client_s: float, workers: int, population: int
) -> str:
    ended, pairs, size = count.ended, len(count.ended), count.every
    times = [began, *ended[size - 1 :: size]]
    rows = [
        [
            f"{part * size + 1:,} – {(part + 1) * size:,}",
            f"{size / (end - start):,.0f}",
            f"{1e3 * (count.used[part + 1] - count.used[part]) / size:.2f}",
        ]
        for part, (start, end) in enumerate(itertools.pairwise(times))
    ]
    words = (
        f"{population:,} members, {workers} workers, {pairs:,} pairs in {ended[-1] - began:.1f} s: "
        f"{pairs / (ended[-1] - began):,.0f} pairs/s over all. Per pair: service "
        f"{1e3 * served_s / pairs:.2f} ms of processor time, client {1e3 * client_s / pairs:.2f} "
        f"ms. Waiting for an answer, median and 99th percentile: suggest {_times(count.suggest)}, "
        f"complete {_times(count.complete)}."
    )
    return "\n\n".join(
        [table(["pairs", "pairs/s", "service, ms of processor time per pair"], rows), words]
    )


def _times(seconds: Sequence[float]) -> str:
    last = statistics.quantiles(seconds, n=100)[-1]
    return f"{1e3 * statistics.median(seconds):.0f} and {1e3 * last:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    given = parser.parse_args()
    text = measure(given.population, given.workers, given.trials, given.folder)
    versions = {"fastapi": fastapi.__version__, "uvicorn": uvicorn.__version__}
    text = f"{text} {circumstances(versions)}"
    print(text) if given.dry else publish("service", text)


if __name__ == "__main__":
    main()
