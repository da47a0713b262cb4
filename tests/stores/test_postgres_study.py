"""A study on PostgreSQL from beginning to end: run, killed, gone on with, looked at and removed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import heredity as hd
from heredity.evolution.events import TrialFinished
from heredity.stores import open_store
from heredity.testing.store_suite import CREATED
from postgres_server import IN_URL, PASSWORD, PostgresServer, postgres_server

pytestmark = pytest.mark.system

CLI = [sys.executable, "-c", "from heredity.cli import main; main()"]

SCRIPT = """
import os, signal, sys
import heredity as hd
from heredity.evolution.events import TrialFinished

class Descent(hd.Trainable):
    def setup(self, hparams, seed):
        self.x = 1 + seed % 1000 / 1000

    def train(self, steps):
        for _ in range(steps):
            self.x -= self.hparams["lr"] * 2 * self.x

    def evaluate(self):
        return self.x**2

    def save(self, directory):
        (directory / "x").write_text(repr(self.x))

    def load(self, directory):
        self.x = float((directory / "x").read_text())

ends, act = int(sys.argv[2]), sys.argv[3]

def interrupt(event):
    # Once so many trials have finished: die, or let somebody do something meanwhile.
    global ends
    ends -= isinstance(event, TrialFinished)
    if ends == 0 and act == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif ends == 0:
        print("waiting", flush=True)
        sys.stdin.readline()
        ends = -1

if __name__ == "__main__":
    study = hd.Study(
        Descent, hd.Space(lr=hd.LogUniform(1e-4, 1e-1)), objective=hd.minimize("loss"),
        population=4, interval=5, budget=hd.Steps(30), name="descent", storage=sys.argv[1],
    )
    found = study.run(hd.Processes(2), live="off", on_event=interrupt)
    print(found.best.score)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where files of studies go."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "descend.py").write_text(SCRIPT)
    return tmp_path


def run(url: str, die_after: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "descend.py", url, str(die_after), "die"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def heredity(*arguments: str) -> str:
    command = [*CLI, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_study_from_beginning_to_end(here: Path, server: PostgresServer) -> None:
    url = server.emptied_database()
    files = here / "runs" / f"127.0.0.1-{server.port}-test" / "descent"

    killed = run(url, die_after=9)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with closing(open_store(url)) as store:
        before = store.read("descent")
        assert sum(isinstance(event, TrialFinished) for event in before) >= 9

        ended = run(url)
        assert ended.returncode == 0, ended.stderr
        assert store.holder("descent") is None
        assert list(store.read("descent"))[: len(before)] == list(before)

    result = hd.open("descent", storage=url)
    assert result.status == "ended"
    assert sum(trial.kind == "train" for trial in result.trials) == 4 * 6
    assert float(ended.stdout) == result.best.score
    assert float((result.best.checkpoint / "x").read_text()) ** 2 == result.best.score
    assert (files / "best").resolve() == result.best.checkpoint

    shown = json.loads(heredity("status", "--json", "--storage", url))
    assert (shown["status"], shown["best_score"]) == ("ended", result.best.score)
    assert "descent" in heredity("ls", "--storage", url)

    heredity("rm", "descent", "--yes", "--storage", url)
    assert heredity("ls", "--json", "--storage", url) == "[]\n"
    assert not files.exists()
    assert sorted(os.listdir(here)) == ["descend.py", "runs"]


def test_a_run_goes_on_after_the_server_was_killed(here: Path, server: PostgresServer) -> None:
    url = server.emptied_database()
    command = [sys.executable, "descend.py", url, "9", "wait"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        server.kill()
        server.start()
        score, _ = running.communicate("go\n", timeout=120)
    assert running.returncode == 0
    result = hd.open("descent", storage=url)
    assert result.status == "ended"
    assert float(score) == result.best.score
    assert sum(trial.kind == "train" for trial in result.trials) == 4 * 6
    assert [trial.attempt for trial in result.trials] == [0] * len(result.trials)


def test_no_password_is_printed(here: Path, server: PostgresServer) -> None:
    url = server.emptied_database()
    for arguments in (["status"], ["status", "nothing"], ["ls"]):
        refuses_quietly(url, arguments, "holds no studies")
    with closing(open_store(url)) as store:
        refuses_quietly(url, ["status"], "no studies in")
        for study in ("one", "other"):
            store.create(study, [CREATED])
    refuses_quietly(url, ["status"], "several studies in", code=2)
    refuses_quietly(url, ["pause", "another"], "no study 'another'")


def refuses_quietly(url: str, arguments: list[str], said: str, code: int = 4) -> None:
    command = [*CLI, *arguments, "--storage", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert IN_URL not in done.stdout + done.stderr
