"""What is exported says, in its own form, what the schedule says at every step; code is run."""

from __future__ import annotations

import csv
import io
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import heredity as hd
from heredity.analysis.course import course
from heredity.analysis.export import FORMS, exported, smoothed, table
from heredity.analysis.records import read
from heredity.analysis.schedule import Schedule, Segment
from heredity.testing.strategies import spaces
from toys import run, toy_study

SPACE = hd.Space(
    lr=hd.LogUniform(1e-5, 1.0),
    momentum=hd.Uniform(0.0, 0.99),
    beta2=hd.ReverseLogUniform(0.9, 0.9999),
    batch_size=hd.Ordinal([32, 64, 128]),
    act=hd.Categorical(["relu", 'it\'s "tanh"\\\n', True]),
)


@st.composite
def schedules(draw: st.DrawFn, space: hd.Space = SPACE) -> Schedule:
    """Of one to eight segments; some hparams stay the same across an edge."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    edges = [0, *itertools.accumulate(lengths)]
    code = st.sampled_from([0.0, 0.2, 1 / 3, 1.0])
    codes = st.lists(code, min_size=len(space), max_size=len(space))
    pieces = [space.decode(draw(codes)) for _ in lengths]
    return Schedule(
        tuple(
            Segment(a, b, hparams, trial, 0, None)
            for trial, ((a, b), hparams) in enumerate(
                zip(itertools.pairwise(edges), pieces, strict=True)
            )
        )
    )


def made(schedule: Schedule, form: str) -> dict[str, Any]:
    """The names that the exported file defines."""
    module: dict[str, Any] = {}
    exec(compile(exported(schedule, form), form, "exec"), module)
    return module


def steps(schedule: Schedule) -> range:
    """Every step, and some beyond the end."""
    return range(schedule.segments[-1].stop + 2)


def optimizer(kind: Any = torch.optim.SGD, **settings: Any) -> torch.optim.Optimizer:
    groups = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(2)]
    groups[1]["lr"] = 0.03
    return kind(groups, lr=0.01, **settings)


# Code ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(schedules())
def test_torch_gets_the_rate_of_every_step_exactly(schedule: Schedule) -> None:
    module, sgd = made(schedule, "torch"), optimizer(momentum=0.5)
    scheduler = module["lr_scheduler"](sgd)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LambdaLR)
    for step in steps(schedule):
        assert module["set_hparams"](sgd, step) == schedule.at(step)
        for group in sgd.param_groups:
            assert group["momentum"] == schedule.at(step)["momentum"]
        assert sgd.param_groups[0]["lr"] == schedule.at(step)["lr"]
        assert sgd.param_groups[1]["lr"] == pytest.approx(3 * schedule.at(step)["lr"])
        sgd.step()
        scheduler.step()


@settings(max_examples=25)
@given(schedules())
def test_plain_python_gets_everything_in_its_own_type(schedule: Schedule) -> None:
    for form in ("torch", "optax"):
        module = made(schedule, form)
        for step in steps(schedule):
            known = module["hparams"](step)
            assert known == schedule.at(step)
            assert {n: type(v) for n, v in known.items()} == {
                n: type(v) for n, v in schedule.at(step).items()
            }
        assert module["STEPS"] == schedule.segments[-1].stop


@settings(max_examples=25)
@given(schedules())
def test_optax_gets_the_numbers_of_every_step_exactly(schedule: Schedule) -> None:
    given = made(schedule, "optax")["schedules"]
    assert given.keys() == {"lr", "momentum", "beta2", "batch_size"}
    for step in steps(schedule):
        for name in given:
            assert jnp.float32(given[name](step)) == np.float32(schedule.at(step)[name])


@given(st.data())
def test_code_is_python_for_any_space(data: st.DataObject) -> None:
    schedule = data.draw(schedules(data.draw(spaces())))
    for form, module in (("torch", {}), ("optax", {})):
        exec(compile(exported(schedule, form), form, "exec"), module)
        assert [module["hparams"](s) for s in steps(schedule)] == [
            schedule.at(s) for s in steps(schedule)
        ]


TWO = Schedule(
    (
        Segment(0, 3, {"lr": 0.5, "beta1": 0.8, "act": "relu"}, 0, 0, 1.0),
        Segment(3, 5, {"lr": 0.25, "beta1": 0.9, "act": "tanh"}, 4, 1, 2.0),
    )
)


def test_both_betas_are_the_pair_of_torch() -> None:
    module, adam = made(TWO, "torch"), optimizer(torch.optim.Adam)
    module["set_hparams"](adam, 0)
    assert [group["betas"] for group in adam.param_groups] == [(0.8, 0.999)] * 2
    module["set_hparams"](adam, 3)
    assert [group["betas"] for group in adam.param_groups] == [(0.9, 0.999)] * 2


def test_a_scheduler_of_torch_goes_on_from_its_state() -> None:
    module, first, second = made(TWO, "torch"), optimizer(), optimizer()
    scheduler = module["lr_scheduler"](first)
    for _ in range(3):
        first.step()
        scheduler.step()
    again = module["lr_scheduler"](second)
    again.load_state_dict(scheduler.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.25
    second.step()
    again.step()
    assert second.param_groups[0]["lr"] == 0.25


def test_an_optimizer_that_had_another_schedule_gets_this_one() -> None:
    module, sgd = made(TWO, "torch"), optimizer()
    torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 0.5)
    module["lr_scheduler"](sgd)
    assert [g["lr"] for g in sgd.param_groups] == pytest.approx([0.5, 1.5])


def test_without_a_rate_there_is_no_scheduler() -> None:
    plain = Schedule((Segment(0, 3, {"momentum": 0.7}, 0, 0, None),))
    module, sgd = made(plain, "torch"), optimizer(momentum=0.1)
    assert "lr_scheduler" not in module
    assert "LambdaLR" not in exported(plain, "torch")
    module["set_hparams"](sgd, 0)
    assert [(g["momentum"], g["lr"]) for g in sgd.param_groups] == [(0.7, 0.01), (0.7, 0.03)]


def test_optax_trains_by_it() -> None:
    """Compiled, by the optimizer's own count."""
    given = made(TWO, "optax")["schedules"]
    sgd = optax.inject_hyperparams(optax.sgd)(given["lr"], momentum=given["beta1"])
    x = jnp.zeros(())
    state = sgd.init(x)
    update = jax.jit(sgd.update)
    for step in range(6):
        _, state = update(jnp.ones(()), state, x)
        assert state.hyperparams["learning_rate"] == np.float32(TWO.at(step)["lr"])
        assert state.hyperparams["momentum"] == np.float32(TWO.at(step)["beta1"])


def test_whole_numbers_that_jax_cannot_hold_are_left_to_python() -> None:
    large = Schedule((Segment(0, 3, {"n": 2**40}, 0, 0, None),))
    module = made(large, "optax")
    assert module["schedules"] == {}
    assert module["hparams"](0) == {"n": 2**40}


def test_code_says_whose_schedule_it_is() -> None:
    assert "the schedule of trial 4" in exported(TWO, "torch")
    assert "gradually" not in exported(TWO, "torch")
    mean = exported(smoothed(Schedule((Segment(0, 9, {"x": 0.5}, 3, 0, 1.0),)), X, 2), "optax")
    assert "a mean of schedules" in mean
    ramped = replace(TWO.segments[1], ramp_from=TWO.segments[0].hparams, ramp_steps=2)
    assert "gradually" in exported(Schedule((TWO.segments[0], ramped)), "torch")


@pytest.mark.parametrize("command", [["format", "--diff"], ["check"]])
@pytest.mark.parametrize("form", ["torch", "optax"])
def test_code_needs_no_hand(form: str, command: list[str]) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "100", "-"],
        input=exported(TWO, form),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# Tables --------------------------------------------------------------------------------


def test_json_is_the_segments() -> None:
    assert json.loads(exported(TWO, "json")) == TWO.as_dicts()


def test_csv_has_a_row_a_segment() -> None:
    rows = list(csv.DictReader(io.StringIO(exported(TWO, "csv"))))
    assert rows[1] == {
        "start": "3",
        "stop": "5",
        "trial": "4",
        "member": "1",
        "score": "2.0",
        "hparams.lr": "0.25",
        "hparams.beta1": "0.9",
        "hparams.act": "tanh",
    }
    assert len(rows) == 2


def test_csv_says_where_hparams_were_reached_gradually() -> None:
    ramped = replace(TWO.segments[1], ramp_from={"lr": 0.5}, ramp_steps=2)
    rows = list(csv.DictReader(io.StringIO(exported(Schedule((TWO.segments[0], ramped)), "csv"))))
    assert [row["ramp_steps"] for row in rows] == ["", "2"]
    assert [row["ramp_from.lr"] for row in rows] == ["", "0.5"]


def looked_up(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


@given(schedules())
def test_a_table_holds_from_each_row_to_the_next(schedule: Schedule) -> None:
    rows = looked_up(exported(schedule, "table"))
    assert all({**a, "step": 0} != {**b, "step": 0} for a, b in itertools.pairwise(rows))
    for step in range(schedule.segments[-1].stop):
        row = [row for row in rows if int(row["step"]) <= step][-1]
        assert {n: v for n, v in row.items() if n != "step"} == {
            name: str(value) for name, value in schedule.at(step).items()
        }


@given(schedules(), st.integers(1, 12))
def test_a_table_by_steps_has_a_row_each_so_many(schedule: Schedule, every: int) -> None:
    rows = looked_up(table(schedule, every))
    assert [int(row["step"]) for row in rows] == list(range(0, schedule.segments[-1].stop, every))
    for row in rows:
        assert row["lr"] == repr(schedule.at(int(row["step"]))["lr"])


# Smoothing -----------------------------------------------------------------------------

X = hd.Space(x=hd.Uniform(0.0, 1.0))


def test_smoothing_is_a_moving_average_in_the_scale() -> None:
    space = hd.Space(lr=hd.LogUniform(1e-4, 1.0), act=hd.Categorical(["a", "b"]))
    low, high = {"lr": 1e-4, "act": "a"}, {"lr": 1.0, "act": "b"}
    found = Schedule((Segment(0, 10, low, 0, 0, 1.0), Segment(10, 20, high, 1, 0, 2.0)))
    smooth = smoothed(found, space, 8)
    assert (smooth.segments[0].start, smooth.segments[-1].stop) == (0, 20)
    for step in range(20):
        there = min(max((step + 0.5 - 10) / 8 + 0.5, 0.0), 1.0)
        assert smooth.at(step)["lr"] == pytest.approx(10 ** (-4 + 4 * there))
        assert smooth.at(step)["act"] == ("a" if step < 10 else "b")
    assert made(smooth, "torch")["hparams"](9) == smooth.at(9)


def test_smoothing_a_schedule_as_found() -> None:
    result = run(toy_study(budget=hd.Steps(60)))
    found = result.schedule()
    space = read(result.population).space
    rough, smooth = (course([s], space) for s in (found, smoothed(found, space, 30)))
    assert np.abs(np.diff(smooth.mean, axis=0)).sum() < np.abs(np.diff(rough.mean, axis=0)).sum()


# Mistakes ------------------------------------------------------------------------------


def test_an_unknown_form_is_answered_with_the_known_ones() -> None:
    with pytest.raises(hd.UsageError, match=r"json, csv, .* not 'troch'. Did you mean `torch`"):
        exported(TWO, "troch")


@pytest.mark.parametrize("form", FORMS)
def test_nothing_cannot_be_exported(form: str) -> None:
    with pytest.raises(hd.UsageError, match="without segments"):
        exported(Schedule(()), form)


def test_windows_and_distances_are_positive() -> None:
    with pytest.raises(hd.UsageError, match="not 0"):
        smoothed(TWO, SPACE, 0)
    with pytest.raises(hd.UsageError, match="every 0"):
        table(TWO, 0)
