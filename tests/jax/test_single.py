"""One member in a trial of its own is the member it would be in a population."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from populations import DESCENT, SPACE, hparams, opened, played, round_of, setting, state

import heredity as hd
from heredity.evolution.trial import Trial
from heredity.jax.check import layout_of
from heredity.jax.saved import read_rows
from heredity.trainables.check import check
from heredity.trainables.session import Session

GIVEN = setting(population=3, ramps=True)
MEMBERS = SPACE.sample_many(3, 3)
OTHERS = SPACE.sample_many(3, 4)


def trial(member: int, turn: int, **changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "id": 3 * turn + member,
        "seed": 11,
        "member": member,
        "turn": turn,
        "hparams": MEMBERS[member],
        "start": 3 * turn,
        "stop": 3 * turn + 3,
        "weights_from": None if turn == 0 else 0,
    }
    return Trial(**fields | changes)


def test_two_turns_with_a_take_over_and_a_ramp_agree(tmp_path: Path) -> None:
    program = opened(DESCENT, GIVEN)
    first = played(program, round_of(GIVEN, 0, hparams=hparams(SPACE, MEMBERS)))
    ramp = {"ramp_from": hparams(SPACE, OTHERS), "ramp_steps": np.array([2, 0, 0])}
    taken = round_of(GIVEN, 1, [2, 1, 2], hparams=hparams(SPACE, MEMBERS), **ramp)
    second = played(program, taken)
    weights = [array[0] for array in state(program)]

    single = DESCENT.single(GIVEN)()
    single.prepare()
    folders = [tmp_path / "donor", tmp_path / "heir"]
    for folder in folders:
        folder.mkdir()
    donor = Session(trial(2, 0), metric="score", save=folders[0])
    single.run(donor)
    heir = Session(
        trial(0, 1, ramp_from=OTHERS[0], ramp_steps=2),
        metric="score",
        save=folders[1],
        restore=folders[0],
        interpolate=SPACE.interpolate,
    )
    single.run(heir)
    for session, scores, member in [(donor, first, 2), (heir, second, 0)]:
        expected = {name: values[member] for name, values in scores.metrics.items()}
        assert session.result == pytest.approx(expected, rel=1e-5)
        assert session.unconsumed == ()
        assert session.reached == session.stop
    assert heir.ramped
    np.testing.assert_allclose(single.state["w"], weights[1], rtol=1e-5)
    saved = read_rows(folders[1], layout_of(DESCENT, SPACE))
    assert saved.population == 1
    for array, expected in zip(saved.arrays, weights, strict=True):
        np.testing.assert_allclose(array[0], expected, rtol=1e-5)
    measured = Session(
        trial(0, 1, kind="evaluate", start=6, evaluations=2), metric="score", restore=folders[1]
    )
    single.run(measured)
    again = evaluated(folders[1])
    assert measured.result == pytest.approx(again)


def evaluated(folder: Path) -> Any:
    """What the population's program says of a saved member."""
    program = opened(DESCENT, setting(population=1))
    return program.evaluate(folder, 0, MEMBERS[0], seed=11, count=2)


def test_training_goes_on_after_a_load_as_if_uninterrupted() -> None:
    report = check(DESCENT.single(setting(population=1)), MEMBERS[0], "score", changed=MEMBERS[1])
    assert report.ok, report
    assert report.continues


def test_a_state_that_is_not_finite_has_no_score() -> None:
    single = DESCENT.single(setting(population=1))()
    single.prepare()
    broken = Session(trial(0, 0, hparams={"lr": float("inf"), "decay": 0.1}), metric="score")
    single.run(broken)
    assert broken.diverged


def test_every_hparam_is_known_to_be_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    hd.Study(
        DESCENT,
        setting(population=2).space,
        objective=hd.minimize("score"),
        population=2,
        interval=2,
        budget=hd.Steps(2),
        name="descent",
        storage=":memory:",
    ).run(hd.Inline())
    assert "in force" not in capsys.readouterr().err
