"""A worker in real processes, with and without a folder that it shares with the service."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from served import Served, begin, served
from toys_that_fail import Failing

import heredity as hd
from heredity.checkpoints.local import LocalCheckpoints
from heredity.errors import NotFound, UsageError
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.service import hosting
from heredity.service.client import Refused
from heredity.service.hosting import Worker, sees
from heredity.stores import open_store
from toys import events_of, run, toy_study

SYNC = hd.PBT(mode="sync")


def population(storage: Path, name: str = "toy") -> Population:
    return Population.fold(events_of(storage, name))


def checked(storage: Path, name: str = "toy") -> Population:
    """The study ended whole, and each checkpoint of its log is there, undamaged."""
    found = population(storage, name)
    assert found.status == "ended"
    assert found.spent.tolist() == [30] * 4
    checkpoints = LocalCheckpoints(storage / name / "checkpoints")
    for trial in found.held:
        saved = found.trial(trial).checkpoint
        assert saved is not None
        with checkpoints.open(saved) as folder:
            assert (folder / "x.json").is_file()
    return found


@pytest.mark.parametrize("checkpoints", ["shared", "sent"])
def test_it_decides_what_one_process_decides(tmp_path: Path, checkpoints: str) -> None:
    run(toy_study(tmp_path / "driven", algorithm=SYNC))
    storage = tmp_path / "served"
    begin(storage, algorithm=SYNC)
    with served(storage, "a-token") as service:
        Worker(service.url, "a-token", slots=2, checkpoints=checkpoints).run()  # type: ignore[arg-type]
    found, driven = checked(storage), population(tmp_path / "driven")
    assert [e.proposal for e in found.proposed] == [e.proposal for e in driven.proposed]
    scores = [getattr(event, "score", None) for event in driven.outcomes]
    assert [getattr(event, "score", None) for event in found.outcomes] == scores


def test_studies_are_worked_on_one_after_another(tmp_path: Path) -> None:
    for name in ("first", "second"):
        begin(tmp_path, name=name, budget=hd.Steps(30))
    said: list[str] = []
    with served(tmp_path) as service:
        worker = Worker(service.url, slots=1, name="me", say=said.append)
        worker.run("second")
        assert population(tmp_path, "first").status == "running"
        worker.run()
        worker.run()  # nothing is left to do
    for name in ("first", "second"):
        assert {event.worker for event in checked(tmp_path, name).outcomes} == {"me/0"}
    assert len([text for text in said if "works on" in text]) == 2


def test_it_finds_out_whether_it_sees_the_folder(service: Served) -> None:
    with closing(service.client()) as client:
        recipe = client.recipe("toy")
    assert sees(recipe)
    assert not sees(replace(recipe, folder=str(service.storage)))
    assert not sees(replace(recipe, proof={".folder-id": "that of another machine"}))
    assert not sees(replace(recipe, proof={}))
    worker = Worker(service.url, slots=1, checkpoints="shared")
    with pytest.raises(UsageError, match="does not see the service's folder"):
        worker._places(replace(recipe, folder="/nowhere"), "toy", None)  # type: ignore[arg-type]


def test_a_study_without_a_name_to_import_is_refused(tmp_path: Path) -> None:
    def train(session: hd.Session) -> None: ...

    begin(tmp_path, trainable=train)
    with served(tmp_path) as service, pytest.raises(UsageError, match="no name to import"):
        Worker(service.url, slots=1).run()


def test_an_unknown_study_is_named(service: Served) -> None:
    with pytest.raises(NotFound, match="Did you mean `toy`"):
        Worker(service.url, slots=1).run("toi")


def test_the_token_reaches_no_process_title(tmp_path: Path) -> None:
    """Nor the environment of the processes that train."""
    begin(tmp_path)
    seen: set[bytes] = set()
    with served(tmp_path, "s3cret-token") as service:

        def look(text: str) -> None:
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((entry / "cmdline").read_bytes())
                except OSError:
                    continue

        Worker(service.url, "s3cret-token", slots=1, checkpoints="sent", say=look).run()
    assert any(b"worker_main" in line for line in seen)
    assert not any(b"s3cret" in line for line in seen)


def test_failures_cross_with_the_users_own_frames(tmp_path: Path) -> None:
    begin(tmp_path, trainable=Failing, population=2, budget=hd.Steps(10))
    with served(tmp_path) as service:
        worker = Worker(service.url, slots=1, say=lambda text: None)
        failed = _first_failure(service, worker)
    assert "out of luck" in failed.error
    assert "toys_that_fail.py" in failed.traceback


def _first_failure(service: Served, worker: Worker) -> ev.TrialFailed:
    """Run until the study pauses, then stop it."""

    def stop_when_paused() -> None:
        with httpx.Client(base_url=service.url, trust_env=False) as http:
            for _ in range(3000):
                if http.get("/studies/toy").json()["status"] == "paused":
                    break
                time.sleep(0.01)
            http.post("/studies/toy/stop")

    stopper = threading.Thread(target=stop_when_paused)
    stopper.start()
    worker.run()
    stopper.join()
    return next(e for e in events_of(service.storage) if isinstance(e, ev.TrialFailed))


PROGRAM = """
x=$(cat "$2/x" 2>/dev/null || echo 1)
echo "$x" > "$3/x"
echo "loss is $1"
"""


@pytest.mark.parametrize("checkpoints", ["shared", "sent"])
def test_a_command_is_served(tmp_path: Path, checkpoints: str) -> None:
    """A shell program, which no worker imports."""
    program = tmp_path / "train.sh"
    program.write_text(PROGRAM)
    command = hd.Command(
        f"sh '{program}' {{lr}} [{{restore}}|nothing] {{save}}",
        metrics={"loss": "loss is ([0-9.e-]+)"},
    )
    begin(tmp_path / "runs", trainable=command, finalists=0)
    with served(tmp_path / "runs") as service:
        Worker(service.url, slots=2, checkpoints=checkpoints).run()  # type: ignore[arg-type]
    found = population(tmp_path / "runs")
    assert found.status == "ended"
    assert found.ended_count == 24
    assert found.failures == 0
    assert found.trial(0).score == pytest.approx(found.trial(0).hparams["lr"])


def test_a_workers_own_folder_is_made(tmp_path: Path) -> None:
    begin(tmp_path / "runs", population=2, budget=hd.Steps(5), finalists=0)
    mine = tmp_path / "new" / "folder"
    with served(tmp_path / "runs") as service:
        Worker(service.url, slots=1, checkpoints="sent", folder=mine).run()
    assert population(tmp_path / "runs").status == "ended"
    assert [path.name for path in (mine / "toy").iterdir()] == ["logs"]


def test_a_study_that_others_run_waits_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("driven", "free"):
        begin(tmp_path, name=name, population=2, budget=hd.Steps(5), finalists=0)
    monkeypatch.setattr(hosting, "LOOK_AGAIN_S", 0.01)
    said: list[str] = []
    with ExitStack() as opened:
        store = opened.enter_context(closing(open_store(tmp_path)))
        driving = opened.enter_context(ExitStack())
        driving.enter_context(store.lock("driven"))

        def say(text: str) -> None:
            said.append(text)
            if "free, which is ended" in text:
                driving.close()

        service = opened.enter_context(served(tmp_path))
        Worker(service.url, slots=1, say=say).run()
        assert [population(tmp_path, name).status for name in ("driven", "free")] == ["ended"] * 2
    assert "is being run by pid" in said[0]
    assert len([text for text in said if "being run by" in text]) == 1


def test_a_study_that_was_named_and_that_others_run_is_an_error(service: Served) -> None:
    with (
        closing(open_store(service.storage)) as store,
        store.lock("toy"),
        pytest.raises(Refused, match="is being run by pid"),
    ):
        Worker(service.url, slots=1).run("toy")


SAYS_TOO_MUCH = """
for n in $(seq 20); do head -c 100000 /dev/zero | tr '\\0' x; echo; done
exit 1
"""


def test_a_command_that_says_too_much_pauses_its_study(tmp_path: Path) -> None:
    program = tmp_path / "train.sh"
    program.write_text(SAYS_TOO_MUCH)
    command = hd.Command(
        f"sh '{program}' {{lr}} [{{restore}}] {{save}}", metrics={"loss": "loss is ([0-9.e-]+)"}
    )
    begin(tmp_path / "runs", trainable=command, population=2)
    with served(tmp_path / "runs") as service:
        failed = _first_failure(
            replace(service, storage=tmp_path / "runs"), Worker(service.url, slots=1)
        )
    assert "exit" in failed.error
    assert failed.traceback
