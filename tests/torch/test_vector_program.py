"""Rounds of a population: independence, take-overs, files, divergence, shared parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vector_toys import (
    RATES,
    Played,
    X,
    Y,
    accuracy,
    classifier,
    mlp,
    rates,
    same,
)
from vector_toys import member as saved_member

import heredity.torch as ht
from heredity.errors import NotFound, TrainingError
from heredity.evolution.trial import Trial
from heredity.executors.program import BEST, FRESH, Setting
from heredity.space import Categorical, Constant, LogUniform, Ordinal, Space, Uniform
from heredity.trainables.session import Session

NOISY = classifier(model=lambda: mlp(nn.Dropout(0.3)), data=ht.batches((X, Y), 16))
"""Batches and dropout of each member's own."""


def test_a_population_learns() -> None:
    population = Played(NOISY, [{"lr": 0.1, "momentum": 0.9}] * 2)
    scores = [population.play(20) for _ in range(5)]
    assert scores[-1].metrics["accuracy"].min() > 0.9
    assert (scores[-1].metrics["train_loss"] < scores[0].metrics["train_loss"]).all()
    assert scores[-1].finite.all()


# Independence --------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_results_do_not_depend_on_how_many_train_at_once(chunk: int) -> None:
    whole, parts = Played(NOISY, rates(5)), Played(NOISY, rates(5), chunk=chunk)
    assert (whole.program.chunk, parts.program.chunk) == (5, chunk)
    for sources in (None, [0, 3, 2, 3, 4]):
        one, other = whole.play(7, sources), parts.play(7, sources)
        np.testing.assert_allclose(one.metrics["train_loss"], other.metrics["train_loss"])
    for path, leaf in whole.states().items():
        torch.testing.assert_close(parts.states()[path], leaf, rtol=1e-9, atol=1e-12)


def test_a_member_does_not_depend_on_who_else_is_there() -> None:
    alone, among = Played(NOISY, rates(5)[:2]), Played(NOISY, rates(5))
    for _ in range(2):
        alone.play(7)
        among.play(7)
    for path, leaf in alone.states().items():
        torch.testing.assert_close(among.states()[path][:2], leaf, rtol=1e-9, atol=1e-12)


def test_members_of_equal_hparams_start_and_train_differently() -> None:
    population = Played(NOISY, [rates(1)[0]] * 2)
    population.play(0)
    start = population.states()["params/0.weight"]
    population.play(5, sources=[0, 0])
    trained = population.states()["params/0.weight"]
    assert not torch.equal(start[0], start[1])
    assert not torch.equal(trained[0], trained[1])  # the same weights, other batches and masks


def test_the_seed_decides_and_the_callers_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    runs = [Played(NOISY, rates(2), seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        run.play(5)
    assert same(runs[0].states(), runs[1].states())
    assert not same(runs[0].states(), runs[2].states())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_member_that_diverges_touches_no_other() -> None:
    hparams = rates(3)
    calm = Played(NOISY, hparams)
    wild = Played(NOISY, [hparams[0], {**hparams[1], "lr": 1e308}, hparams[2]])
    for _ in range(2):
        shown, diverged = calm.play(6), wild.play(6)
    assert diverged.finite.tolist() == [True, False, True]
    assert shown.finite.all()
    for path, leaf in calm.states().items():
        assert torch.equal(wild.states()[path][[0, 2]], leaf[[0, 2]])
    revived = wild.play(0, sources=[0, 2, 2])
    assert revived.finite.all()


# Take-overs ----------------------------------------------------------------------------


def test_take_overs_all_see_the_states_before_the_round() -> None:
    population = Played(classifier(), rates(4))
    population.play(3)
    before = population.states()
    population.play(0, sources=[1, 2, 0, 3])
    after = population.states()
    assert all(torch.equal(after[path], leaf[[1, 2, 0, 3]]) for path, leaf in before.items())


def test_a_fresh_row_starts_from_weights_never_seen() -> None:
    population = Played(classifier(), rates(2))
    population.play(0)
    first = population.states()
    population.play(3)
    population.play(0, sources=[FRESH, 1])
    fresh = population.states()
    assert not torch.equal(fresh["params/0.weight"][0], first["params/0.weight"][0])
    assert not fresh["optimizer/momentum/0.weight"][0].any()


def test_inherit_decides_what_a_donor_gives() -> None:
    trainable = ht.VectorTrainable.of(
        init=lambda hparams: {"weights": torch.rand(3), "env": torch.rand(2)},
        step=lambda state, hparams, batch: {**state, "weights": state["weights"] * hparams["lr"]},
        evaluate=lambda state, hparams: state["weights"].sum(),
        inherit=lambda own, donor: {**donor, "env": own["env"]},
    )
    population = Played(trainable, [{"lr": 0.5}] * 3, Space(lr=LogUniform(0.1, 1.0)))
    population.play(1)
    before = population.states()
    population.play(0, sources=[2, 1, 0])
    after = population.states()
    assert torch.equal(after["weights"], before["weights"][[2, 1, 0]])
    assert torch.equal(after["env"], before["env"])


# Rows that rest ------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", ["auto", 2])
def test_idle_rows_come_out_as_they_went_in_and_the_others_train(chunk: Any) -> None:
    resting, training = (Played(NOISY, rates(5), chunk=chunk) for _ in range(2))
    for population in (resting, training):
        population.play(4)
    before = resting.states()
    idle = np.array([False, True, False, False, True])
    shown = resting.play(4, idle=idle)
    training.play(4)
    for path, leaf in resting.states().items():
        assert torch.equal(leaf[idle], before[path][idle])
        assert torch.equal(leaf[~idle], training.states()[path][~idle])
        assert not torch.equal(leaf[~idle], before[path][~idle]) or not leaf.is_floating_point()
    still = resting.play(0).metrics["accuracy"]
    assert (shown.metrics["accuracy"] == still).all()


@pytest.mark.parametrize("shared", [False, True])
def test_where_an_idle_row_stands_is_nothing_to_the_others(shared: bool) -> None:
    data = ht.batches((X, Y), 16, shared=shared)
    one, other = (Played(classifier(data=data), rates(2)) for _ in range(2))
    for population in (one, other):
        population.play(2)
    other.starts[1] += 7
    shown = [played.play(2, idle=np.array([False, True])) for played in (one, other)]
    assert shown[0].metrics["train_loss"][0] == shown[1].metrics["train_loss"][0]


# Files ---------------------------------------------------------------------------------


def test_a_population_that_was_loaded_goes_on_bitwise(tmp_path: Path) -> None:
    straight, stopped, resumed = (Played(NOISY, rates(3)) for _ in range(3))
    straight.play(5)
    stopped.play(5)
    stopped.program.keep({0: 1})
    stopped.program.copy().write(tmp_path)
    resumed.program.load(tmp_path)
    resumed.turn, resumed.starts = stopped.turn, stopped.starts
    assert same(resumed.states(), straight.states())
    scores = [played.play(5, [2, 1, 2]) for played in (straight, resumed)]
    assert same(resumed.states(), straight.states())
    assert (scores[0].metrics["accuracy"] == scores[1].metrics["accuracy"]).all()
    assert same(
        {path: leaf[-1] for path, leaf in resumed.program.copy().state.items()},
        {path: leaf[-1] for path, leaf in stopped.program.copy().state.items()},
    )


def test_a_copy_and_the_best_row_stay_as_they_were(tmp_path: Path) -> None:
    population = Played(classifier(), rates(2))
    population.play(3)
    before = population.members()[1]
    population.program.keep({0: 1})
    rows = population.program.copy()
    population.play(5)
    rows.write(tmp_path)
    for row in (1, BEST):
        member = saved_member(population.program, tmp_path, row)
        assert torch.equal(member[0].weight, before[0].weight)
    assert torch.equal(population.program.copy().state["params/0.weight"][-1], before[0].weight)


def weight(population: Played, folder: Path, row: int) -> torch.Tensor:
    saved: torch.Tensor = saved_member(population.program, folder, row)[0].weight
    return saved


def test_slots_keep_rows_apart_and_what_is_not_named_stays(tmp_path: Path) -> None:
    population = Played(classifier(), rates(3), slots=3)
    population.play(2)
    first = [member[0].weight for member in population.members()]
    population.program.keep({0: 2, 1: 0})
    population.play(2)
    second = [member[0].weight for member in population.members()]
    population.program.keep({0: 1})
    population.play(2)
    population.program.copy().write(tmp_path)
    assert torch.equal(weight(population, tmp_path, BEST), second[1])
    assert torch.equal(weight(population, tmp_path, -2), first[0])
    for row in (-3, -4):
        with pytest.raises(NotFound, match=f"kept in slot {-1 - row} of"):
            weight(population, tmp_path, row)


@pytest.mark.parametrize("slots", [0, 1, 3])
def test_a_file_with_other_slots_gives_those_that_both_have(tmp_path: Path, slots: int) -> None:
    population = Played(classifier(), rates(2), slots=2)
    population.play(2)
    population.program.keep({0: 1, 1: 0})
    population.program.copy().write(tmp_path)

    other = Played(classifier(), rates(2), slots=slots)
    other.play(1)
    other.program.load(tmp_path)
    weights = [member[0].weight for member in population.members()]
    for mine, saved in zip(other.members(), weights, strict=True):
        assert torch.equal(mine[0].weight, saved)
    folder = tmp_path / "other"
    folder.mkdir()
    other.program.copy().write(folder)
    for slot, row in [(0, 1), (1, 0)][:slots]:
        assert torch.equal(weight(other, folder, -1 - slot), weights[row])
    with pytest.raises(NotFound, match="no best member was kept"):
        weight(other, folder, -1 - min(slots, 2))


def test_what_a_file_does_not_hold_is_kept_no_longer(tmp_path: Path) -> None:
    population = Played(classifier(), rates(2))
    population.play(1)
    population.program.copy().write(tmp_path)
    population.program.keep({0: 1})
    population.program.load(tmp_path)
    folder = tmp_path / "other"
    folder.mkdir()
    population.program.copy().write(folder)
    with pytest.raises(NotFound, match="no best member was kept"):
        weight(population, folder, BEST)


def test_a_saved_member_scores_as_it_did(tmp_path: Path) -> None:
    population = Played(NOISY, rates(2))
    shown = population.play(30)
    population.program.copy().write(tmp_path)
    measured = population.program.evaluate(tmp_path, 1, rates(2)[1], seed=5, count=3)
    assert measured == {"accuracy": shown.metrics["accuracy"][1], "accuracy_std": 0.0}
    with torch.no_grad():
        assert (
            float(accuracy(saved_member(NOISY.program(), tmp_path, 1), {})) == measured["accuracy"]
        )


def test_rows_that_are_not_there_are_refused(tmp_path: Path) -> None:
    population = Played(classifier(), rates(2))
    population.play(1)
    population.program.copy().write(tmp_path)
    with pytest.raises(NotFound, match="no best member"):
        saved_member(population.program, tmp_path, BEST)
    with pytest.raises(NotFound, match="no row 2 among 2"):
        saved_member(population.program, tmp_path, 2)
    with pytest.raises(TrainingError, match=r"no rows\.safetensors"):
        saved_member(population.program, tmp_path / "nowhere", 0)


def test_a_state_of_another_form_is_refused(tmp_path: Path) -> None:
    population = Played(classifier(), rates(2))
    population.play(1)
    population.program.copy().write(tmp_path)
    with pytest.raises(TrainingError, match="holds 2 members, this study 3"):
        Played(classifier(), rates(3)).program.load(tmp_path)
    other = classifier(model=lambda: mlp(nn.BatchNorm1d(8)))
    with pytest.raises(TrainingError, match="the checkpoint lacks `buffers/1"):
        Played(other, rates(2)).program.load(tmp_path)


# Hparams -------------------------------------------------------------------------------


def echo(**needed: Any) -> ht.VectorTrainable:
    """Its state is the sum of what it read."""

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        values = torch.stack([hparams[name].double() for name in needed])
        return {"seen": state["seen"] * 0 + values}, {"mean": values.mean()}

    return ht.VectorTrainable.of(
        init=lambda hparams: {"seen": torch.zeros(len(needed), dtype=torch.float64)},
        step=step,
        evaluate=lambda state, hparams: state["seen"].sum(),
    )


def test_choices_arrive_as_numbers_or_indices_and_constants_as_they_are() -> None:
    space = Space(
        kind=Categorical(["a", "b", "c"]),
        size=Ordinal([32, 64]),
        flag=Constant("plain"),
        lr=Uniform(0, 1),
    )
    seen: list[Any] = []

    def step(state: Any, hparams: Any, batch: Any) -> Any:
        seen.append(hparams["flag"])
        return torch.stack([hparams[n].double() for n in ("kind", "size", "lr")])

    trainable = ht.VectorTrainable.of(
        lambda hparams: torch.zeros(3, dtype=torch.float64),
        step,
        lambda state, hparams: state.sum(),
    )
    hparams = [
        {"kind": "c", "size": 32, "flag": "plain", "lr": 0.1},
        {"kind": "a", "size": 64, "flag": "plain", "lr": 0.7},
    ]
    population = Played(trainable, hparams, space)
    population.play(1)
    assert population.states()[""].tolist() == [[2.0, 32.0, 0.1], [0.0, 64.0, 0.7]]
    assert set(seen) == {"plain"}


def test_a_ramp_goes_from_the_old_value_to_the_new_at_every_step() -> None:
    space = Space(lr=Uniform(0.0, 1.0), size=Ordinal([1, 2, 3, 4, 5]))
    population = Played(echo(lr=0, size=0), [{"lr": 0.8, "size": 5}, {"lr": 0.8, "size": 5}], space)
    shown = population.play(
        8,
        ramp_from={"lr": np.array([0.0, 0.8]), "size": np.array([1, 5])},
        ramp_steps=np.array([4, 0]),
    )
    ramped = [
        space.interpolate({"lr": 0.0, "size": 1}, {"lr": 0.8, "size": 5}, i / 4) for i in (1, 2, 3)
    ]
    values = [*ramped, *[{"lr": 0.8, "size": 5}] * 5]
    expected = np.mean([(v["lr"] + v["size"]) / 2 for v in values])  # type: ignore[operator]
    np.testing.assert_allclose(shown.metrics["mean"], [expected, 2.9])


def test_rows_that_are_not_measured_may_lack_a_score() -> None:
    population = Played(classifier(), rates(2))
    shown = population.play(2, measured=np.array([False, False]))
    assert set(shown.metrics) == {"train_loss"}
    assert shown.finite.all()
    assert "accuracy" in population.play(2, measured=np.array([True, False])).metrics


# One member ----------------------------------------------------------------------------


def test_a_single_member_is_the_same_as_in_the_population(tmp_path: Path) -> None:
    population = Played(NOISY, rates(2))
    shown = [population.play(6) for _ in range(2)]
    setting = Setting(RATES, 2, 6, "accuracy", 0)
    restore: Path | None = None
    for turn in range(2):
        member = NOISY.single(setting)()
        member.prepare()
        save = tmp_path / str(turn)
        save.mkdir()
        trial = Trial(
            id=turn, seed=3, member=1, turn=turn, start=6 * turn, stop=6 * turn + 6,
            hparams=rates(2)[1],
        )  # fmt: skip
        session = Session(trial, metric="accuracy", save=save, restore=restore)
        member.run(session)
        restore = save
        assert session.result["accuracy"] == shown[turn].metrics["accuracy"][1]
        assert session.unconsumed == ()
        assert set(session.verified) == {"lr", "momentum"}
    saved = saved_member(NOISY.program(), save, 0)
    torch.testing.assert_close(
        saved[0].weight, population.members()[1][0].weight, rtol=1e-9, atol=1e-12
    )


def test_the_general_form_gives_its_state_back_as_it_was_made(tmp_path: Path) -> None:
    trainable = ht.VectorTrainable.of(
        init=lambda hparams: {
            "net": {"w": torch.ones(2), "b": torch.zeros(())},
            "n": torch.tensor(0),
        },
        step=lambda state, hparams, batch: {
            "net": {"w": state["net"]["w"] - hparams["lr"], "b": state["net"]["b"]},
            "n": state["n"] + 1,
        },
        evaluate=lambda state, hparams: {"score": state["net"]["w"].sum(), "n": state["n"]},
    )
    population = Played(
        trainable, [{"lr": 0.25}, {"lr": 0.5}], Space(lr=LogUniform(0.1, 1.0)), metric="score"
    )
    shown = population.play(2)
    assert shown.metrics["score"].tolist() == [1.0, 0.0]
    assert shown.metrics["n"].tolist() == [2.0, 2.0]
    state = population.members()[1]
    assert state["net"]["w"].tolist() == [0.0, 0.0]
    assert (state["net"]["b"].shape, state["n"].item()) == ((), 2)


def test_closing_twice_is_safe() -> None:
    population = Played(classifier(), rates(2))
    population.play(1)
    population.program.close()
    population.program.close()


def test_more_than_one_device_is_refused() -> None:
    with pytest.raises(ValueError, match="on one device, not 4"):
        classifier().program("auto", 4)
