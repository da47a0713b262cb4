"""Take-overs copy the states as they were, in little memory, whatever the order and the circles."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from populations import DESCENT, opened, played, round_of, same, setting, state

from heredity.executors.program import FRESH
from heredity.jax import VectorTrainable
from heredity.jax.takeovers import BATCHES, Hold, Move, Place, plan

sources = st.integers(1, 12).flatmap(
    lambda count: st.lists(st.integers(-1, count - 1), min_size=count, max_size=count)
)


@settings(max_examples=300)
@given(sources, st.integers(1, 4))
def test_any_plan_gives_what_copying_all_at_once_would(wanted: list[int], most: int) -> None:
    state = list(range(len(wanted)))
    held = None
    for action in plan(np.array(wanted), most):
        match action:
            case Move(sources, targets):
                assert 1 <= len(sources) == len(targets) <= most
                values = [state[source] for source in sources]
                for target, value in zip(targets.tolist(), values, strict=True):
                    state[target] = value
            case Hold(row):
                held = state[row]
            case Place(target):
                state[target] = held
    assert state == [row if source < 0 else source for row, source in enumerate(wanted)]


def test_the_usual_take_overs_need_few_steps() -> None:
    """Truncation: donors are never overwritten."""
    wanted = np.arange(100)
    wanted[:20] = np.arange(80, 100)
    actions = list(plan(wanted, 5))
    assert [len(action.targets) for action in actions] == [5] * 4
    assert len(actions) <= BATCHES  # one call


WIDE = VectorTrainable(
    lambda key, h: {"w": jax.random.normal(key, (4_000,)), "n": jnp.zeros(7, jnp.int32)},
    lambda s, h, b, k: {**s, "w": s["w"] * h["lr"] + h["decay"]},
    lambda s, h, k: s["w"].sum(),
)


@pytest.mark.parametrize("population", [4, 64])
def test_memory_of_take_overs_is_that_of_the_rows_copied(population: int) -> None:
    program = opened(WIDE, setting(population=population))
    takeovers = program._takeovers
    bytes_of_all = sum(s.size * s.dtype.itemsize for s in takeovers.shapes)
    memory = takeovers.exchange.compiled.memory_analysis()
    k = 1
    assert memory.temp_size_in_bytes <= (k / population + 0.05) * bytes_of_all
    assert memory.alias_size_in_bytes >= bytes_of_all  # in the state's own memory
    wanted = np.roll(np.arange(population), 1)
    played(program, round_of(setting(population=population), 0))
    before = state(program)
    program._state = takeovers.carry_out(program._standing, wanted)
    assert same(state(program), [array[wanted] for array in before])


def test_more_moves_than_a_call_carries_out_copy_the_states_as_they_were() -> None:
    given = setting(population=30)
    program = opened(DESCENT, given)
    wanted = np.minimum(np.arange(30) + 1, 29)  # each row waits for the one before
    assert len(list(plan(wanted, program._takeovers.most))) > 2 * BATCHES
    played(program, round_of(given, 0))
    before = state(program)
    program._state = program._takeovers.carry_out(program._standing, wanted)
    assert same(state(program), [array[wanted] for array in before])


def test_inherit_decides_what_is_copied() -> None:
    def inherit(own: Any, donor: Any) -> Any:
        return {"w": donor["w"], "n": own["n"] + 1}

    functions = VectorTrainable(
        lambda key, h: {"w": jax.random.normal(key, (3,)), "n": jax.random.randint(key, (), 0, 99)},
        lambda s, h, b, k: {**s, "w": s["w"] + h["lr"] + h["decay"]},
        lambda s, h, k: s["w"].sum(),
        inherit=inherit,
    )
    program = opened(functions, setting())
    for wanted in ([1, 0, 2, 0], [1, 2, 3, 0]):  # ending in a circle of two, and one of four
        played(program, round_of(setting(), 0))
        n, w = state(program)
        program._state = program._takeovers.carry_out(program._standing, np.array(wanted))
        taken = np.array(wanted) != np.arange(4)
        assert same(state(program), [n + taken.astype(np.int32), w[wanted]])


def test_several_fresh_rows_are_made_beside_take_overs() -> None:
    given = setting(population=6)
    program = opened(DESCENT, given)
    played(program, round_of(given, 0))
    first = state(program)
    fresh = [0, 3, 5]
    wanted = np.array([FRESH, 1, 0, FRESH, 5, FRESH])
    turns = np.where(np.isin(np.arange(6), fresh), 0, 1)
    played(program, round_of(given, 1, wanted, turns=turns))
    assert same([a[fresh] for a in state(program)], [a[fresh] for a in first])
    assert state(program)[0].tolist() == [3, 6, 6, 3, 6, 3]  # steps in each lineage


def test_more_fresh_rows_than_a_chunk_holds_are_made_at_once() -> None:
    given = setting(population=60)
    program = opened(DESCENT, given, chunk=2)
    assert program._takeovers.most == 3
    played(program, round_of(given, 0))
    first = state(program)
    wanted = np.where(np.arange(60) < 4, FRESH, np.arange(60))
    played(program, round_of(given, 1, wanted, turns=np.where(wanted < 0, 0, 1)))
    assert same([a[:4] for a in state(program)], [a[:4] for a in first])
