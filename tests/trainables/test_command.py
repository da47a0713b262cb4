"""The description of a command: what it refuses before anything runs, and its plain JSON."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.errors import HparamsError, UsageError
from heredity.trainables.command import Command
from heredity.trainables.command.template import OWN
from heredity.trainables.function import as_trainable

TRAIN = "train --lr {lr} --until {stop} --out {save} [--resume {restore}]"


def study(command: Command, **changes: Any) -> hd.Study:
    given: dict[str, Any] = {
        "objective": hd.maximize("accuracy"), "population": 4, "interval": 5,
        "budget": hd.Steps(20), "name": "command", "storage": ":memory:",
    }  # fmt: skip
    space = changes.pop("space", hd.Space(lr=hd.LogUniform(1e-4, 1.0)))
    return hd.Study(command, space, **(given | changes))


def test_a_study_records_that_it_trains_a_command() -> None:
    assert study(Command(TRAIN)).definition.trainable == "command"


def test_a_study_measures_finalists_only_if_the_command_can() -> None:
    assert study(Command(TRAIN)).settings.finals.evaluations == 0
    assert study(Command(TRAIN, evaluate="test {restore}")).settings.finals.evaluations == 10


def test_it_goes_to_workers_by_name() -> None:
    make = as_trainable(Command(TRAIN, metrics={"accuracy": "accuracy ([0-9.]+)"}))
    assert pickle.loads(pickle.dumps(make))().command == make().command


# What a study refuses ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            Command(f"{TRAIN} {{sead}}"),
            "[--resume {restore}] {sead}' names no hparam and no placeholder.",
        ),
        (Command(f"{TRAIN} {{sead}}"), "Did you mean `seed`? For braces of your own"),
        (Command(f"{TRAIN} {{ratel}}"), "{ratel}"),
        (
            Command("train\n  {lr} {sead} {save}\n[{restore}]\n"),
            "{sead} in 'train {lr} {sead} {save} [{restore}]' names",
        ),
        (Command(TRAIN, cwd="/tmp/{wrk}"), "Did you mean `work`?"),
        (Command(TRAIN, evaluate="test {restore} {stp}"), "Did you mean `stop`?"),
        (Command(TRAIN, metrics="{sav}/{trial}"), "Did you mean `save`?"),
        (Command(TRAIN, metrics={"acuracy": "(.)"}), "Did you mean `acuracy`?"),
        (Command("train {save} [{restore}]"), "does not use the hparam `lr`: write {lr}"),
        (Command("train {save} [{restore}]"), "reads_json=True"),
        (Command("train {save} [{restore} | {lr}]"), "`lr` when it restores"),
        (Command("train {save} [{restore} {lr}]"), "`lr` when it does not restore"),
        (Command("train {save} --lr {{lr}} [{restore}]"), "does not use the hparam `lr`"),
    ],
)
def test_a_study_refuses_what_could_not_work(command: Command, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        study(command)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", sorted(OWN))
def test_an_hparam_cannot_have_a_placeholders_name(name: str) -> None:
    space = hd.Space({"lr": hd.LogUniform(1e-4, 1.0), name: hd.Uniform(0, 1)})
    with pytest.raises(HparamsError, match=f"an hparam of a command cannot be named `{name}`"):
        study(Command(TRAIN), space=space)


@pytest.mark.parametrize(
    "command",
    [
        Command(TRAIN),
        Command(TRAIN.split()),
        Command("train {lr} {save}", seed_save_folder=True),
        Command("train", reads_json=True),
        Command("train {lr} [{restore}]", cwd="{save}"),
        Command("train < {save} --lr {lr} --from {restore}", shell=True),
        Command("[a {restore} {lr} | b {lr}] {save}"),
        Command(TRAIN, metrics="metrics.json", cwd="{work}"),
    ],
    ids=str,
)
def test_what_can_work_is_accepted(command: Command) -> None:
    study(command)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"command": ""}, "not empty"),
        ({"command": []}, "not empty"),
        ({"command": ["train", 3]}, "list of strings"),
        ({"command": 3}, "Command: command is a string or a list of words, not 3"),
        ({"command": "train 'x"}, "No closing quotation"),
        ({"command": "train\n  'x"}, '"train \'x" cannot be split'),
        ({"command": "train\n{lr", "shell": True}, "a lone { in 'train {lr': "),
        ({"command": "train {lr"}, "a lone { in '{lr': write {{ for the sign"),
        ({"command": "train lr}"}, "a lone }"),
        ({"command": ["train {save}"], "shell": True}, "with shell=True the command is a string"),
        ({"command": "train {restore} {save}"}, "for example [--resume {restore}]"),
        ({"command": "train [{restore} | a | b] {save}"}, "more than one |"),
        ({"command": "train {lr} [{restore}]"}, "does not use {save}"),
        ({"command": "train {lr} {save}"}, "set seed_save_folder=True"),
        ({"evaluate": "test {lr}"}, "evaluate does not use {restore}"),
        ({"metrics": {}}, "names no metric"),
        ({"metrics": {"accuracy": "accuracy [0-9]"}}, "has no group"),
        ({"metrics": {"accuracy": "accuracy ("}}, "is wrong"),
        ({"metrics": {"accuracy": "accuracy ([0--9.]+)"}}, "Possible set difference at position"),
        ({"metrics": {"accuracy": 3}}, "is a regular expression, not 3"),
        ({"metrics": "metrics.json"}, "all trials would write to the same metrics file"),
        ({"metrics": ["a"]}, "metrics is a string or a mapping of names to patterns"),
        ({"step": "epoch"}, "the pattern of `step`"),
        ({"shell": "yes"}, "shell is true or false, not 'yes'"),
        ({"grace_s": -1}, "grace_s is a number from 0"),
        ({"grace_s": float("nan")}, "grace_s is a number from 0"),
    ],
)
def test_a_description_that_cannot_work_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Command(**{"command": TRAIN, **given})
    assert said in str(caught.value)


# Plain JSON ----------------------------------------------------------------------------

FULL = Command(
    ["train", "{lr}", "{save}"],
    evaluate="test {restore}",
    metrics={"accuracy": "accuracy (.*)"},
    step="epoch (.*)",
    reads_json=True,
    seed_save_folder=True,
    cwd="/",
    home="/somewhere",
    grace_s=5,
)


@pytest.mark.parametrize(
    "command", [Command(TRAIN), FULL, Command("train {lr} {save} {restore}", shell=True)], ids=str
)
def test_it_goes_to_json_and_back(command: Command) -> None:
    assert Command.from_json(json.loads(json.dumps(command.as_json()))) == command


def test_a_path_to_run_in_is_taken_as_it_is() -> None:
    command = Command(TRAIN, cwd=Path("a {b}"))
    assert command.cwd == f"{Path.cwd()}/a {{{{b}}}}"
    assert Command.from_json(command.as_json()) == command


def test_the_path_of_its_home_is_taken_as_it_is() -> None:
    command = Command(TRAIN, home=Path("a {b}"))
    assert command.home == f"{Path.cwd()}/a {{b}}"
    assert Command.from_json(command.as_json()) == command


def test_json_holds_what_differs_from_the_defaults() -> None:
    assert Command(TRAIN, grace_s=5).as_json() == {"command": TRAIN, "grace_s": 5}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a command has no `metric`. Did you mean `metrics`"):
        Command.from_json({"command": TRAIN, "metric": {}})
    with pytest.raises(UsageError, match="a command needs `command`"):
        Command.from_json({})


# For a person to read ------------------------------------------------------------------


def test_an_example_can_be_read() -> None:
    shown = Command(f"{TRAIN} {{name}}").example({"lr": 0.5, "name": "a b"}, 10)
    assert shown == "train --lr 0.5 --until 10 --out '<save>' 'a b'"


def test_an_example_for_a_shell_can_be_read() -> None:
    command = Command("train {lr} {save} {restore} > x", shell=True)
    assert command.example({"lr": 0.5}, 10) == "train 0.5 '<save>' '' > x"
