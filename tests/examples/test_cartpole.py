"""The CartPole example: its physics, its PPO, and that a population solves the task with it."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "examples" / "cartpole_ppo_jax.py"
RIGHT = [(jnp.zeros((4, 2)), jnp.array([0.0, 1e9]))]
"""A policy that always pushes to the right."""

HPARAMS = {"lr": 1e-3, "entropy_cost": 0.01, "clip": 0.2, "discount": 0.97, "gae_lambda": 0.9}


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(body: Any, age: int = 0) -> dict[str, Any]:
    return {"body": jnp.asarray(body, jnp.float32), "age": jnp.int32(age)}


@pytest.mark.parametrize(("action", "force"), [(0, -10.0), (1, 10.0)])
def test_a_move_obeys_newton(example: Any, action: int, force: float) -> None:
    """Cart 1 kg, pole 0.1 kg with its middle 0.5 m from the joint, 10 N, for 0.02 s."""
    bodies = np.random.default_rng(0).uniform(-0.2, 0.2, (100, 4)).astype(np.float32)
    envs = jax.vmap(environment)(bodies)
    moved, _ = jax.jit(jax.vmap(example.move, (0, None)))(envs, jnp.int32(action))
    after = np.asarray(moved["body"], np.float64)
    _, speed, angle, spin = bodies.T
    rates = (after - bodies).T / 0.02
    assert rates[0] == pytest.approx(speed, abs=1e-4)
    assert rates[2] == pytest.approx(spin, abs=1e-4)
    pulled = np.cos(angle) * rates[3] - np.sin(angle) * spin**2
    assert 1.1 * rates[1] + 0.1 * 0.5 * pulled == pytest.approx(np.full(100, force), abs=1e-3)
    turned = 4 / 3 * 0.5 * rates[3] + np.cos(angle) * rates[1]
    assert turned == pytest.approx(9.8 * np.sin(angle), abs=1e-3)


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ([2.39, 0, 0, 0], False),
        ([-2.39, -1, 0, 0], True),
        ([2.39, 1, 0, 0], True),
        ([0, 0, np.deg2rad(11.9), 0], False),
        ([0, 0, np.deg2rad(11.9), 1], True),
        ([0, 0, np.deg2rad(-11.9), -1], True),
    ],
)
def test_the_cart_may_leave_neither_the_track_nor_the_pole(
    example: Any, body: list[float], lost: bool
) -> None:
    assert bool(example.move(environment(body), jnp.int32(0))[1]) == lost


def test_an_environment_starts_anew_when_it_is_lost_and_at_the_limit(example: Any) -> None:
    net = example.init(jax.random.key(0), HPARAMS)["net"]
    act = jax.jit(partial(example.act, net))
    for body, age, over in [
        ([1.0, 0, 0, 0], 100, False),
        ([1.0, 0, 0, 0], example.LIMIT - 1, True),
        ([2.4, 5, 0, 0], 100, True),
    ]:
        env, seen = act(environment(body, age), jax.random.key(1))
        assert bool(seen["over"]) == over
        assert int(env["age"]) == (0 if over else age + 1)
        assert float(seen["after"][0]) >= 1.0  # where it got, not where it starts anew
        assert abs(float(env["body"][0])) <= 0.05 if over else env["body"][0] == 1.0


def test_a_return_counts_the_steps_until_the_pole_falls(example: Any) -> None:
    key = jax.random.key(0)
    env, lost, steps = example.reset(jax.random.split(key)[0]), False, 0
    while not lost:
        env, lost = example.move(env, jnp.int32(1))
        steps += 1
    assert 8 <= steps <= 11  # what pushing to one side is known to earn
    assert int(example.episode({"policy": RIGHT}, key)) == steps
    # Towards where the pole leans, soon enough, keeps it up for the whole episode.
    leaning = jnp.zeros((4, 2)).at[:, 1].set(jnp.array([0.3, 1.0, 20.0, 6.0]) * 1e4)
    skilled = {"policy": [(leaning, jnp.zeros(2))]}
    assert int(example.episode(skilled, jax.random.key(0))) == example.LIMIT


def test_advantages_are_the_sums_that_define_them(example: Any) -> None:
    """Â_t = Σ_l (γλ)^l δ_{t+l} until the episode is over (Schulman et al. 2015, equation 16)."""
    net = {**example.init(jax.random.key(0), HPARAMS)["net"], "policy": RIGHT}
    start = environment([0, 0, 0, 0], age=example.LIMIT - 5)  # the limit, then poles that fall
    _, seen = jax.tree.map(np.asarray, example.play(net, HPARAMS, start, jax.random.key(2)))
    assert seen["over"][4]
    assert not seen["lost"][4]
    assert seen["lost"].any()
    value, after = (
        np.asarray(example.apply(net["value"], seen[k]))[:, 0] for k in ("body", "after")
    )
    discount, both = HPARAMS["discount"], HPARAMS["discount"] * HPARAMS["gae_lambda"]
    for t in range(example.LENGTH):
        total, weight = 0.0, 1.0
        for k in range(t, example.LENGTH):
            total += weight * (1 + discount * after[k] * (not seen["lost"][k]) - value[k])
            weight *= both
            if seen["over"][k]:
                break
        assert seen["advantage"][t] == pytest.approx(total, abs=1e-4)
        assert seen["return"][t] == pytest.approx(total + value[t], abs=1e-4)


def test_at_first_the_loss_is_the_values_error_and_the_entropy_alone(example: Any) -> None:
    """Before anything is learned all ratios are 1, and standardized advantages cancel."""
    state = example.init(jax.random.key(0), HPARAMS)
    env = jax.tree.map(lambda a: a[0], state["envs"])
    _, seen = example.play(state["net"], HPARAMS, env, jax.random.key(1))
    value = example.apply(state["net"]["value"], seen["body"])[:, 0]
    chances = jax.nn.softmax(example.apply(state["net"]["policy"], seen["body"]))
    entropy = -(chances * jnp.log(chances)).sum(axis=1).mean()
    expected = 0.5 * jnp.square(value - seen["return"]).mean() - 0.01 * entropy
    assert float(example.loss(state["net"], HPARAMS, seen)) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_what_is_clipped_teaches_the_policy_nothing(example: Any) -> None:
    """Where an action's chance rose beyond the clip and it was good, the gradient is zero."""
    net = example.init(jax.random.key(0), HPARAMS)["net"]
    body, action = jnp.zeros((2, 4)).at[0, 0].set(1.0), jnp.array([0, 1])
    now = example.surprisal(net, body, action)
    seen = {"body": body, "action": action, "return": jnp.zeros(2)}
    seen["advantage"] = jnp.array([1.0, -1.0])
    without_entropy = HPARAMS | {"entropy_cost": 0.0}

    @jax.jit
    def slope(rise: float) -> Any:
        """How much the policy would learn, had each chance moved by this much as it should."""
        then = now + jnp.log1p(rise) * seen["advantage"]
        learned = jax.grad(example.loss)(net, without_entropy, {**seen, "surprisal": then})
        return sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(learned["policy"]))

    assert slope(0.1) > 0.01
    assert slope(0.3) == 0.0


def test_who_takes_over_keeps_its_own_environments(example: Any) -> None:
    own, donor = (example.init(jax.random.key(seed), HPARAMS) for seed in (0, 1))
    taken = example.inherit(own, donor)
    same = partial(jax.tree.map, lambda a, b: bool((a == b).all()))
    assert all(jax.tree.leaves(same(taken["envs"], own["envs"])))
    assert all(jax.tree.leaves(same(taken["net"], donor["net"])))
    assert all(jax.tree.leaves(same(taken["adam"], donor["adam"])))


def test_a_population_solves_it(example: Any, tmp_path: Path) -> None:
    assert example.main(updates=60, storage=str(tmp_path)) >= 475
