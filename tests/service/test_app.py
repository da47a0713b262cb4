"""Studies and trials as resources; every write may be sent again."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict

import httpx
import pytest
from served import Served, begin, served

from heredity.errors import NotFound, UsageError
from heredity.evolution import events as ev
from heredity.evolution.trial import Checkpoint
from heredity.executors.base import Completed, Failed, Measured
from heredity.legible import ERROR_CHARACTERS, TRACEBACK_CHARACTERS
from heredity.service.client import Client, Refused
from toys import events_of


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose trial 0 is worker a's, for requests that are refused."""
    storage = tmp_path_factory.mktemp("unmoved")
    begin(storage)
    with served(storage) as service, contextlib.closing(service.client()) as client:
        client.suggest("toy", "a")
        yield service


def done(trial: int, attempt: int = 0, **changes: object) -> Completed:
    values = {"reached": 5, "metrics": {"loss": 0.5}, "checkpoint": None, "elapsed_s": 1.0}
    return Completed(trial, attempt, **{**values, **changes})  # type: ignore[arg-type]


def saved(client: Client, trial: int, attempt: int = 0) -> Completed:
    """That it is done, once what it saved was sent."""
    nothing = hashlib.sha256(b'{"format": 1, "files": {}}').hexdigest()
    sent = client.save("toy", f"{trial}-{attempt}", nothing, lambda: iter([bytes(1024)]))
    return done(trial, attempt, checkpoint=sent)


def test_studies_are_listed_and_shown(client: Client) -> None:
    assert client.studies() == ["toy"]
    shown = client.summary("toy")
    assert (shown.status, shown.population, shown.trials_ended) == ("running", 4, 0)
    assert (shown.objective.name, shown.objective.direction) == ("loss", "minimize")


def test_an_unknown_study_is_named_with_what_there_is(client: Client) -> None:
    with pytest.raises(NotFound, match="Did you mean `toy`"):
        client.summary("toi")


def test_the_same_worker_gets_its_trial_again(client: Client) -> None:
    first = client.suggest("toy", "a").tasks
    assert client.suggest("toy", "a").tasks == first
    assert client.suggest("toy", "b").tasks[0].trial.id != first[0].trial.id


def test_a_completion_counts_once(service: Served, client: Client) -> None:
    [task] = client.suggest("toy", "a").tasks
    report = saved(client, task.trial.id)
    assert client.complete("toy", "a", report) == "recorded"
    assert client.complete("toy", "a", report) == "already done"
    assert client.complete("toy", "b", done(task.trial.id)) == "already done"
    assert client.summary("toy").trials_ended == 1
    finished = [e for e in events_of(service.storage) if isinstance(e, ev.TrialFinished)]
    assert [(e.trial, e.worker) for e in finished] == [(task.trial.id, "a")]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_crosses_as_a_divergence(client: Client, score: float) -> None:
    [task] = client.suggest("toy", "a").tasks
    report = done(task.trial.id, metrics={"loss": score, "other": 1.0})
    assert client.complete("toy", "a", report) == "recorded"
    assert client.summary("toy").diverged == 1


def test_a_failure_is_issued_again_as_the_next_attempt(client: Client) -> None:
    [task] = client.suggest("toy", "a").tasks
    failed = Failed(task.trial.id, 0, "error", "out of luck", "a traceback", 1.0)
    assert client.fail("toy", "a", failed) == "recorded"
    assert client.fail("toy", "a", failed) == "already done"
    [again] = client.suggest("toy", "a").tasks
    assert (again.trial.id, again.trial.attempt) == (task.trial.id, 1)
    assert client.summary("toy").failures == 1


def test_a_long_failure_of_another_client_is_shortened(
    service: Served, client: Client, http: httpx.Client
) -> None:
    [task] = client.suggest("toy", "a").tasks
    report = asdict(Failed(task.trial.id, 0, "error", "e" * 100_000, "t" * 500_000 + "end"))
    assert http.post("/studies/toy/fail", json={"worker": "a", "report": report}).status_code == 200
    [failed] = [e for e in events_of(service.storage) if isinstance(e, ev.TrialFailed)]
    assert (len(failed.error), len(failed.traceback)) == (ERROR_CHARACTERS, TRACEBACK_CHARACTERS)
    assert failed.traceback.endswith("end")


def test_a_heartbeat_carries_measurements(service: Served, client: Client) -> None:
    [task] = client.suggest("toy", "a").tasks
    news = [Measured(task.trial.id, 0, 2, {"loss": 0.7}), Measured(task.trial.id, 0, 3, {})]
    heard = client.heartbeat("toy", "a", task.trial.id, 0, news)
    assert (heard.stop, heard.lost) == (False, False)
    assert client.heartbeat("toy", "b", task.trial.id, 0).lost
    with pytest.raises(NotFound):
        client.heartbeat("toy", "a", 99, 0)


REFUSED = {
    "an unknown trial": done(99),
    "a trial before the first": done(-1),
    "an attempt that was not begun": done(0, attempt=1),
    "an attempt before the first": done(0, attempt=-1),
    "too many steps": done(0, reached=6),
    "less than no step": done(0, reached=-1),
    "a score, and nothing saved": done(0),
    "a score and no more steps, and nothing saved": done(0, reached=3),
    "no score": done(0, metrics={}),
    "a time that is none": done(0, elapsed_s=float("nan")),
    "less than no time": done(0, elapsed_s=-1.0),
    "a checkpoint elsewhere": done(0, checkpoint=Checkpoint("../../x", 10, "0" * 64)),
    "a checkpoint of another trial": done(0, checkpoint=Checkpoint("1-0", 10, "0" * 64)),
    "a checkpoint that is not there": done(0, checkpoint=Checkpoint("0-0", 10, "0" * 64)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_report_that_cannot_be_is_refused(unmoved: Served, what: str) -> None:
    before = events_of(unmoved.storage)
    with contextlib.closing(unmoved.client()) as client, pytest.raises((UsageError, NotFound)):
        client.complete("toy", "a", REFUSED[what])
    assert events_of(unmoved.storage) == before


def test_trials_and_events_come_in_pages(
    service: Served, client: Client, http: httpx.Client
) -> None:
    for worker in "abc":
        client.suggest("toy", worker)
    trials = http.get("/studies/toy/trials", params={"first": 1, "limit": 1}).json()
    assert [trial["id"] for trial in trials] == [1]
    assert http.get("/studies/toy/trials", params={"first": 3}).json() == []
    assert http.get("/studies/toy/trials/2").json()["worker"] == "c"
    events = http.get("/studies/toy/events", params={"after": 1, "limit": 3}).json()
    assert [event["seq"] for event in events] == [2, 3, 4]
    assert events[0]["type"] == "TrialProposed"
    assert len(http.get("/studies/toy/events").json()) == len(events_of(service.storage))
    assert http.get("/studies/toy/events", params={"after": 1000}).json() == []


def test_a_study_that_others_run_is_left_alone(service: Served, client: Client) -> None:
    from heredity.stores import open_store

    store = open_store(service.storage)
    with store.lock("toy"), pytest.raises(Refused, match="is being run by pid"):
        client.suggest("toy", "a")
    store.close()
    assert client.suggest("toy", "a").tasks


LONG = 99999999999999999999999
HALF = "x \ud800"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "heartbeat", {"worker": "a", "trial": 0, "attempt": 0, "measured": [
            {"trial": 0, "attempt": 0, "step": LONG, "metrics": {}}]}),
        ("POST", "heartbeat", {"worker": "a", "trial": 0, "attempt": 0, "measured": [
            {"trial": 0, "attempt": 0, "step": -LONG, "metrics": {}}]}),
        ("POST", "heartbeat", {"worker": "a", "trial": 0, "attempt": 0, "measured": [
            {"trial": 0, "attempt": 0, "step": 1, "metrics": {HALF: 1.0}}]}),
        ("POST", "complete", {"worker": "a", "report": asdict(done(0, metrics={"loss": LONG}))}),
        ("POST", "complete", {"worker": "a", "report": asdict(done(0, elapsed_s=LONG))}),
        ("POST", "complete", {"worker": "a", "report": asdict(done(0, unverified=(HALF,)))}),
        ("POST", "complete", {"worker": "a", "report": asdict(
            done(0, checkpoint=Checkpoint("0-0", LONG, "0" * 64)))}),
        ("POST", "fail", {"worker": "a", "report": asdict(Failed(0, 0, "error", HALF))}),
        ("POST", "fail", {"worker": "a", "report": asdict(Failed(0, 0, "error", "", HALF))}),
        ("POST", "pause", {"reason": HALF}),
        ("POST", "stop", {"reason": HALF}),
        ("PUT", "injections/0", {"hparams": {"lr": LONG}}),
        ("PUT", "injections/0", {"hparams": {"lr": 0.01, HALF: 1}}),
        ("PUT", "bounds/lr", {"low": 0.001, "high": LONG}),
    ],
)  # fmt: skip
def test_what_no_store_can_hold_is_refused(
    unmoved: Served, method: str, path: str, body: dict[str, object]
) -> None:
    before = events_of(unmoved.storage)
    answer = httpx.request(
        method,
        f"{unmoved.url}/studies/toy/{path}",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 422, answer.text
    assert "surrogate" in answer.text or "64 bits" in answer.text
    assert events_of(unmoved.storage) == before


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("complete", {"report": asdict(done(0, metrics={"loss": True}))}),
        ("complete", {"report": asdict(done(0, metrics={"loss": float(1), "other": False}))}),
        (
            "heartbeat",
            {"trial": 0, "attempt": 0, "measured": [asdict(Measured(0, 0, 1, {"loss": True}))]},
        ),
    ],
)
def test_true_is_no_measurement(unmoved: Served, path: str, body: dict[str, object]) -> None:
    url = f"{unmoved.url}/studies/toy/{path}"
    answer = httpx.post(url, json={"worker": "a", **body}, trust_env=False)
    assert answer.status_code == 422
    assert "must be a number" in answer.text


@pytest.mark.parametrize(
    ("verb", "reason"), [("pause", "by a person"), ("stop", "stopped by a person")]
)
@pytest.mark.parametrize("body", [None, {}])
def test_who_gives_no_reason_is_a_person(
    service: Served, http: httpx.Client, verb: str, reason: str, body: dict[str, str] | None
) -> None:
    assert http.post(f"/studies/toy/{verb}", json=body).status_code == 200
    found = [e for e in events_of(service.storage) if hasattr(e, "reason")]
    assert found[0].reason == reason


@pytest.mark.parametrize("step", [2**63 - 1, -1, 6])
def test_a_measurement_outside_of_its_trial_is_refused(unmoved: Served, step: int) -> None:
    with contextlib.closing(unmoved.client()) as client, pytest.raises(UsageError, match="step"):
        client.heartbeat("toy", "a", 0, 0, [Measured(0, 0, step, {"loss": 0.5})])


# People ------------------------------------------------------------------------------------


def test_people_pause_resume_and_stop(client: Client, http: httpx.Client) -> None:
    for _ in range(2):
        assert (
            http.post("/studies/toy/pause", json={"reason": "lunch"}).json()["status"] == "paused"
        )
    assert http.get("/studies/toy").json()["reason"] == "lunch"
    answer = client.suggest("toy", "a")
    assert (answer.tasks, answer.status) == ((), "paused")
    assert http.post("/studies/toy/resume").json()["status"] == "running"
    [task] = client.suggest("toy", "a").tasks
    for _ in range(2):
        assert http.post("/studies/toy/stop").json()["status"] in ("stopping", "ended")
    diverged = done(task.trial.id, metrics={"loss": float("nan")})
    assert client.complete("toy", "a", diverged) == "recorded"
    assert client.suggest("toy", "b").status == "ended"


def test_an_injection_counts_once(service: Served, http: httpx.Client) -> None:
    wanted = {"hparams": {"lr": 0.01}}
    for _ in range(3):
        answer = http.put("/studies/toy/injections/0", json=wanted)
        assert answer.json()["next_injection"] == 1
    other = http.put("/studies/toy/injections/0", json={"hparams": {"lr": 0.02}})
    assert other.status_code == 409
    assert http.put("/studies/toy/injections/7", json=wanted).status_code == 409
    injected = [e for e in events_of(service.storage) if isinstance(e, ev.TrialInjected)]
    assert [e.hparams for e in injected] == [{"lr": 0.01}]


def test_an_injection_that_was_carried_out_is_known(client: Client, http: httpx.Client) -> None:
    wanted = {"hparams": {"lr": 0.01}}
    http.put("/studies/toy/injections/0", json=wanted)
    given = [client.suggest("toy", worker).tasks[0].trial for worker in "abcd"]
    assert 0 in [trial.injection for trial in given]
    assert http.put("/studies/toy/injections/0", json=wanted).status_code == 200


@pytest.mark.parametrize("hparams", [{}, {"lr": 7}, {"lr": "x"}, {"lr": 0.01, "more": 1}])
def test_hparams_that_do_not_fit_are_refused(unmoved: Served, hparams: dict[str, object]) -> None:
    before = events_of(unmoved.storage)
    url = f"{unmoved.url}/studies/toy/injections/0"
    answer = httpx.put(url, json={"hparams": hparams}, trust_env=False)
    assert answer.status_code == 400
    assert "lr" in answer.json()["message"] or "more" in answer.json()["message"]
    assert events_of(unmoved.storage) == before


def test_bounds_are_changed(client: Client, http: httpx.Client) -> None:
    answer = http.put("/studies/toy/bounds/lr", json={"low": 0.05, "high": 0.1})
    assert answer.status_code == 200
    [task] = client.suggest("toy", "a").tasks
    assert 0.05 <= task.trial.hparams["lr"] <= 0.1
    assert http.put("/studies/toy/bounds/lr", json={"low": 2, "high": 1}).status_code == 400
    assert http.put("/studies/toy/bounds/momentum", json={"low": 0, "high": 1}).status_code == 400


def test_pins_need_a_checkpoint(client: Client, http: httpx.Client) -> None:
    [task] = client.suggest("toy", "a").tasks
    assert http.put(f"/studies/toy/pins/{task.trial.id}").status_code == 404
    assert http.delete(f"/studies/toy/pins/{task.trial.id}").status_code == 200
    assert http.put("/studies/toy/pins/99").status_code == 404
