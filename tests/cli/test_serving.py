"""`heredity serve` and `heredity worker` as they are typed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from heredity.evolution.population import Population
from toys import events_of

HEREDITY = [sys.executable, "-c", "from heredity.cli import main; main()"]
STUDY = '''
import json, time
import heredity as hd
from pathlib import Path

class Slow(hd.Trainable):
    """Marks in a file that it runs, and goes on when another file is there."""
    def setup(self, hparams, seed): self.x = hparams["lr"]
    def train(self, steps):
        Path("running").touch()
        while Path("hold").exists(): time.sleep(0.005)
    def evaluate(self): return self.x
    def save(self, directory): (directory / "x.json").write_text(json.dumps(self.x))
    def load(self, directory): self.x = json.loads((directory / "x.json").read_text())

study = hd.Study(Slow, hd.Space(lr=hd.LogUniform(1e-4, 0.3)), objective=hd.minimize("loss"),
                 population=3, interval=5, budget=hd.Steps(10), name="slow", finalists=0)
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(STUDY)
    return tmp_path


def start(place: Path, *arguments: str, token: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*HEREDITY, *arguments],
        cwd=place,
        env={**os.environ, "HEREDITY_TOKEN": token},
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str], word: str) -> str:
    """The next line of what it says that has this word."""
    assert process.stderr is not None
    for text in process.stderr:
        if word in text:
            return text
    raise AssertionError(f"it never said {word!r}")


@contextlib.contextmanager
def serving(place: Path, *arguments: str, token: str = "") -> Iterator[str]:
    """The service's address, while it runs; it ends well."""
    process = start(place, "serve", "slow.py", "--port", "0", *arguments, token=token)
    try:
        yield line(process, "serving").split()[-1]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def refused(*arguments: str) -> str:
    done = subprocess.run([*HEREDITY, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


def test_a_study_is_served_and_worked_on(place: Path) -> None:
    with serving(place, token="s3cret") as url:
        worker = start(place, "worker", url, "--slots", "2", token="s3cret")
        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0, said
        assert "slow, which is ended" in said
        assert httpx.get(f"{url}/studies", trust_env=False).status_code == 401
        stranger = start(place, "worker", url, "--patience", "0")
        _, said = stranger.communicate(timeout=60)
        assert stranger.returncode == 2
        assert "token" in said
    population = Population.fold(events_of(place / "runs", "slow"))
    assert population.status == "ended"
    assert population.ended_count == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_worker_finishes_what_runs_when_it_is_told_to_end(
    place: Path, number: signal.Signals
) -> None:
    (place / "hold").touch()
    with serving(place) as url:
        worker = start(place, "worker", url, "--slots", "1", "--name", "me")
        line(worker, "works on")
        _wait_for(place / "running")
        worker.send_signal(number)
        line(worker, "Finishing")
        (place / "hold").unlink()
        worker.communicate(timeout=60)
        assert worker.returncode == 0
    population = Population.fold(events_of(place / "runs", "slow"))
    assert (population.ended_count, len(population.open)) == (1, 0)
    assert population.status == "running"


def test_a_second_signal_ends_a_worker_at_once(place: Path) -> None:
    (place / "hold").touch()
    with serving(place) as url:
        worker = start(place, "worker", url, "--slots", "1", "--name", "me")
        _wait_for(place / "running")
        worker.terminate()
        line(worker, "Finishing")
        worker.terminate()
        worker.communicate(timeout=60)
        assert worker.returncode == 130
        (place / "hold").unlink()
        again = start(place, "worker", url, "--slots", "1", "--name", "me")
        again.communicate(timeout=60)
        assert again.returncode == 0
    population = Population.fold(events_of(place / "runs", "slow"))
    assert population.status == "ended"
    assert population.failures == 0  # the same name got its trial back


def test_the_token_is_no_longer_among_the_arguments(place: Path) -> None:
    process = start(place, "serve", "slow.py", "--port", "0", "--token", "s3cret")
    try:
        url = line(process, "serving").split()[-1]
        assert b"s3cret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert httpx.get(f"{url}/studies", trust_env=False).status_code == 401
        headers = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{url}/studies", headers=headers, trust_env=False).json() == ["slow"]
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert "s3cret" not in said


def test_an_option_goes_before_the_files_storage(place: Path) -> None:
    with serving(place, "--storage", "elsewhere") as url:
        assert httpx.get(f"{url}/studies", trust_env=False).json() == ["slow"]
    assert len(events_of(place / "elsewhere", "slow")) == 1
    assert not (place / "runs").exists()


def test_the_token_may_be_in_a_file(place: Path) -> None:
    (place / "token").write_text("s3cret\n")
    with serving(place, "--token-file", "token") as url:
        headers = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{url}/studies", headers=headers, trust_env=False).json() == ["slow"]


def test_what_cannot_be_served(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("HEREDITY_TOKEN", raising=False)
    assert "HEREDITY_TOKEN" in refused("serve", "--host", "0.0.0.0")
    (place / "other.py").write_text(STUDY.replace('name="slow"', 'name="other", storage="other"'))
    assert "--storage" in refused("serve", "slow.py", "other.py")
    assert "outlives it" in refused("serve", "--storage", ":memory:")
    assert "outlives it" in refused("serve", "slow.py", "--storage", ":memory:")
    assert "--port" in refused("serve", "--host", "203.0.113.7", "--token-file", "slow.py")
    assert "Did you mean `shared`" in refused("worker", "http://x:1", "--checkpoints", "share")
    assert "a worker's name" in refused("worker", "http://x:1", "--name", "a b")
    assert "no address" in refused("worker", "x:1")


def _wait_for(path: Path) -> None:
    import time

    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
