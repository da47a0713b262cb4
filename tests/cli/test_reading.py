"""The commands that read say what the library says, to people and to programs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import heredity as hd
from cli.climbing import Call, climb, failed, parsed
from heredity.stores import open_store
from heredity.stores.codec import decode

SUMMARY_KEYS = {
    "name",
    "status",
    "reason",
    "driver",
    "workers",
    "objective",
    "population",
    "progress",
    "trials_proposed",
    "trials_ended",
    "best_trial",
    "best_score",
    "median_score",
    "exploits",
    "diverged",
    "failures",
    "checkpoints_bytes",
}


def test_ls_lists_every_study_oldest_first(storage: Path, call: Call) -> None:
    climb(storage, "another").inject({"rate": 0.5, "shape": "round"})
    listed = parsed(call("ls", "--storage", storage, "--json"))
    assert [study["name"] for study in listed] == ["climb", "another"]
    assert all(set(study) == SUMMARY_KEYS for study in listed)
    shown = call("ls", "--storage", storage).stdout.splitlines()
    assert shown[1].split()[:2] == ["climb", "ended"]
    assert "another  running (nobody)" in shown[2]


def test_a_study_that_nobody_runs_is_told_from_one_that_runs(storage: Path, call: Call) -> None:
    climb(storage, "another").inject({"rate": 0.5, "shape": "round"})
    told = parsed(call("status", "another", "--storage", storage, "--json"))
    assert (told["status"], told["driver"], told["workers"]) == ("running", None, [])
    assert "nobody is at work on it" in call("status", "another", "--storage", storage).stdout
    store = open_store(storage)
    with store.lock("another"):
        told = parsed(call("status", "another", "--storage", storage, "--json"))
        shown = call("status", "another", "--storage", storage).stdout
    store.close()
    assert str(os.getpid()) in told["driver"]
    assert shown.startswith(f"another  running ({told['driver']})")
    assert "nobody" not in shown


def test_status_tells_how_each_member_stands(ran: Path, call: Call) -> None:
    told = parsed(call("status", "climb", "--storage", ran, "--json"))
    result = hd.open("climb", ran)
    assert set(told) == SUMMARY_KEYS | {"members"}
    assert told["status"] == "ended"
    assert told["progress"] == 1.0
    assert told["best_trial"] == result.best.trial.id
    assert told["best_score"] == result.best.score
    assert told["diverged"] == 1
    assert [member["member"] for member in told["members"]] == [0, 1, 2, 3]
    assert [member["steps"] for member in told["members"]] == [50] * 4
    best = [member for member in told["members"] if member["best"]]
    assert [member["member"] for member in best] == [result.best.trial.member]
    assert best[0]["hparams"] == dict(result.best.hparams)


def test_status_shows_people_the_same(ran: Path, call: Call) -> None:
    """Standard output is no terminal here, so the picture is plain text of 80 columns."""
    lines = call("status", "--storage", ran).stdout.splitlines()
    assert lines[0].startswith("climb  ended: every member has trained 50 steps")
    assert "diverged 1" in lines[2]
    members = [line for line in lines if line.split()[-1:] == ["done"]]
    assert len(members) == 4
    assert all(len(line) <= 80 for line in lines)


def test_best_is_that_of_the_library(ran: Path, call: Call) -> None:
    told = parsed(call("best", "--storage", ran, "--json"))
    best = hd.open("climb", ran).best
    assert told["score"] == best.score
    assert told["confirmed"] == best.confirmed
    assert told["hparams"] == dict(best.hparams)
    assert told["metrics"] == dict(best.metrics)
    assert told["checkpoint"] == str(best.checkpoint)
    shown = call("best", "--storage", ran).stdout
    assert "mean of 3 fresh evaluations" in shown
    assert "test height" in shown
    assert str(best.checkpoint) in shown


def test_best_copies_the_checkpoint_and_overwrites_nothing(
    ran: Path, tmp_path: Path, call: Call
) -> None:
    copy = tmp_path / "models" / "best"
    assert call("best", "--storage", ran, "--copy", copy).exit_code == 0
    original = hd.open("climb", ran).best.checkpoint
    assert (copy / "height").read_bytes() == (original / "height").read_bytes()
    (copy / "height").write_text("mine")
    assert "is there already" in failed(call("best", "--storage", ran, "--copy", copy), 2)
    assert (copy / "height").read_text() == "mine"


def test_trials_lists_all(ran: Path, call: Call) -> None:
    told = parsed(call("trials", "--storage", ran, "--json"))
    known = hd.open("climb", ran).trials
    assert [trial["id"] for trial in told] == [trial.id for trial in known]
    assert [trial["score"] for trial in told] == [trial.score for trial in known]
    assert [trial["hparams"] for trial in told] == [dict(trial.hparams) for trial in known]
    assert len(call("trials", "--storage", ran).stdout.splitlines()) == len(known) + 1


def test_schedule_of_the_best_and_of_another(ran: Path, call: Call) -> None:
    result = hd.open("climb", ran)
    assert parsed(call("schedule", "--storage", ran, "--json")) == result.schedule().as_dicts()
    other = parsed(call("schedule", "climb", "--trial", 1, "--storage", ran, "--json"))
    assert [(segment["trial"], segment["stop"]) for segment in other] == [(1, 10)]
    assert call("schedule", "--storage", ran).stdout.strip() == str(result.schedule()).strip()
    assert "no trial 999" in failed(call("schedule", "--trial", 999, "--storage", ran), 4)


def test_export_is_the_whole_log(ran: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "climb.jsonl"
    assert call("export", "--storage", ran, "--out", out).exit_code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    rows = [(line["type"], line["format"], json.dumps(line["event"])) for line in lines]
    store = open_store(ran, read_only=True)
    assert decode(rows, 1) == list(store.read("climb"))
    store.close()
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert call("export", "--storage", ran).stdout == out.read_text()


def test_export_as_a_table(ran: Path, call: Call) -> None:
    rows = list(csv.DictReader(io.StringIO(call("export", "--csv", "--storage", ran).stdout)))
    known = hd.open("climb", ran).trials
    assert [int(row["id"]) for row in rows] == [trial.id for trial in known]
    assert [float(row["hparams.rate"]) for row in rows] == [t.hparams["rate"] for t in known]
    assert [row["score"] for row in rows] == [
        "" if trial.score is None else str(trial.score) for trial in known
    ]


def test_an_export_that_cannot_be_written_says_so(ran: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "no" / "such" / "folder.jsonl"
    assert str(out) in failed(call("export", "--storage", ran, "--out", out), 2)


def test_logs_print_what_a_trial_wrote(storage: Path, call: Call) -> None:
    folder = storage / "climb" / "logs"
    folder.mkdir(exist_ok=True)
    (folder / "3.log").write_text("epoch 1\nepoch 2\n")
    assert call("logs", "climb", 3, "--storage", storage).stdout == "epoch 1\nepoch 2\n"
    assert call("logs", 3, "--storage", storage).stdout == "epoch 1\nepoch 2\n"
    assert "wrote nothing" in call("logs", 4, "--storage", storage).stderr
    assert "no trial 999" in failed(call("logs", 999, "--storage", storage), 4)
    assert "not 'three'" in failed(call("logs", "climb", "three", "--storage", storage), 2)


def test_logs_tell_that_a_trial_diverged(ran: Path, call: Call) -> None:
    diverged = next(t.id for t in hd.open("climb", ran).trials if t.status == "diverged")
    assert "diverged: height is nan" in call("logs", diverged, "--storage", ran).stderr


@pytest.mark.parametrize("command", ["status", "best", "trials", "schedule", "export", "gc"])
def test_a_typo_in_the_name_is_understood(command: str, ran: Path, call: Call) -> None:
    message = failed(call(command, "clim", "--storage", ran), 4)
    assert "Did you mean `climb`?" in message


@pytest.mark.parametrize("command", ["ls", "status", "best", "trials", "schedule", "export", "gc"])
def test_what_is_no_storage_folder_is_named(command: str, tmp_path: Path, call: Call) -> None:
    message = failed(call(command, "--storage", tmp_path), 4)
    assert str(tmp_path) in message
    assert list(tmp_path.iterdir()) == []


def test_of_several_studies_one_must_be_named(storage: Path, call: Call) -> None:
    climb(storage, "another").inject({"rate": 0.5, "shape": "round"})
    message = failed(call("status", "--storage", storage), 2)
    assert "climb" in message
    assert "another" in message


def test_a_storage_without_studies(storage: Path, call: Call) -> None:
    assert call("rm", "climb", "--yes", "--storage", storage).exit_code == 0
    assert parsed(call("ls", "--storage", storage, "--json")) == []
    assert "no studies" in call("ls", "--storage", storage).stderr
    assert "no studies" in failed(call("status", "--storage", storage), 4)


def test_before_the_first_score_there_is_no_best(tmp_path: Path, call: Call) -> None:
    climb(tmp_path).inject({"rate": 0.5, "shape": "round"})
    assert "no score yet" in failed(call("best", "--storage", tmp_path), 4)
    assert parsed(call("status", "--storage", tmp_path, "--json"))["best_score"] is None


def test_reading_brings_in_no_framework(ran: Path) -> None:
    code = (
        "import sys; from heredity.cli import main; sys.argv = ['heredity', 'status', '--storage', "
        f"{str(ran)!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('modules:', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    modules = set(done.stdout.partition("modules:")[2].split())
    assert "climb  ended" in done.stdout
    assert modules & {"torch", "jax", "sklearn", "scipy", "pandas", "cloudpickle"} == set()


def test_doctor_has_nothing_to_say_of_a_study_that_is_well(storage: Path, call: Call) -> None:
    told = call("doctor", "--storage", storage)
    assert (told.exit_code, "nothing deserves a look" in told.stdout) == (0, True)
    assert json.loads(call("doctor", "--storage", storage, "--json").stdout) == []


def test_doctor_tells_what_it_finds_and_what_to_change(tmp_path: Path, call: Call) -> None:
    """Half of the members take the other half over at every turn."""

    def train(session: hd.Session) -> None:
        (session.save / "x").write_text(str(session.restore))
        session.report(score=session.hparams["x"] + session.stop / 1000)

    study = hd.Study(
        train, hd.Space(x=hd.Uniform(0, 1, move=hd.Shift(1e-6))), objective=hd.maximize("score"),
        population=16, interval=1, budget=hd.Steps(60), name="greedy", storage=tmp_path,
        algorithm=hd.PBT(exploit=hd.Truncation(0.5), ready=hd.Every(0)), final_evaluations=0,
    )  # fmt: skip
    study.run(hd.Inline(), live="off")
    told = call("doctor", "greedy", "--storage", tmp_path)
    assert told.exit_code == 0
    assert told.stdout.startswith("warning: ")
    found = json.loads(call("doctor", "--storage", tmp_path, "--json").stdout)
    assert all(f["evidence"] in told.stdout and f["advice"] in told.stdout for f in found)
