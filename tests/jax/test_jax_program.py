"""The program keeps the protocol's promises, whatever is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from populations import DESCENT, SPACE, hparams, opened, played, round_of, same, setting, state

from heredity.errors import CheckpointError, UsageError
from heredity.executors.program import BEST, FRESH, OutOfMemory
from heredity.jax import VectorTrainable, batches
from heredity.jax.placement import Placement
from heredity.jax.program import JaxProgram
from heredity.jax.saved import read_row

SETTING = setting()
GIVEN_HPARAMS = round_of(SETTING, 0).hparams


@pytest.fixture(scope="module")
def program() -> JaxProgram:
    """One opened program; every test begins with a round from scratch."""
    return opened(DESCENT, SETTING)


@pytest.fixture
def compilations() -> Any:
    """How many programs were compiled since, as a list that grows."""
    seen: list[str] = []

    def listen(event: str, duration_s: float, **facts: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def test_nothing_is_compiled_after_the_start_whatever_the_hparams_turns_and_sources(
    compilations: list[str],
) -> None:
    program = opened(DESCENT, SETTING)
    assert len(compilations) == 4  # the round, fresh states, take-overs, and rows to keep
    rng = np.random.default_rng(0)
    for turn in range(6):
        donors = np.arange(4) // 2 * 2 + rng.integers(0, 2)  # each pair's first, or each second
        given = hparams(SPACE, SPACE.sample_many(4, turn))
        played(program, round_of(SETTING, turn, donors if turn else None, hparams=given))
        program.keep({0: turn % 4})
    assert len(compilations) == 4


def test_what_is_rare_is_compiled_when_it_is_first_needed(compilations: list[str]) -> None:
    program = opened(DESCENT, SETTING)
    settled = len(compilations)
    for turn, sources in enumerate([None, [1, 2, 3, 0], [FRESH, 1, 2, 3]] * 2):
        played(program, round_of(SETTING, turn, sources))
    assert len(compilations) == settled + 3  # rows held and placed, single rows from scratch
    played(program, round_of(SETTING, 6, steps=2))  # a shorter last round
    assert len(compilations) == settled + 4


def test_rounds_move_nothing_between_host_and_device_implicitly(program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    with jax.transfer_guard("disallow"):
        played(program, round_of(SETTING, 1, [1, 1, 2, 3]))


def test_metrics_are_the_objective_and_the_mean_of_each_steps(program: JaxProgram) -> None:
    scores = played(program, round_of(SETTING, 0))
    assert set(scores.metrics) == {"score", "size"}
    assert all(values.shape == (4,) for values in scores.metrics.values())
    assert scores.finite.all()


def test_step_metrics_are_means_over_the_round() -> None:
    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return state + hparams["lr"] * 0 + 1, {"before": state}

    functions = VectorTrainable(lambda k, h: jnp.zeros(()), step, lambda s, h, k: s + h["decay"])
    scores = played(opened(functions, setting(interval=4)), round_of(setting(interval=4), 0))
    np.testing.assert_allclose(scores.metrics["before"], np.full(4, (0 + 1 + 2 + 3) / 4))


def test_the_same_rounds_give_the_same_bits_and_other_seeds_give_others(
    program: JaxProgram,
) -> None:
    runs = []
    for trained in (program, program, opened(DESCENT, setting(seed=8))):
        for turn in range(2):
            scores = played(trained, round_of(SETTING, turn))
        runs.append([*state(trained), scores.metrics["score"]])
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_members_draw_differently_though_their_states_and_hparams_are_equal(
    program: JaxProgram,
) -> None:
    equal = hparams(SPACE, [{"lr": 0.1, "decay": 0.1}] * 4)
    played(program, round_of(SETTING, 0, hparams=equal))
    played(program, round_of(SETTING, 1, [2, 2, 2, 2], hparams=equal))
    w = state(program)[1]
    assert len(np.unique(w, axis=0)) == 4


def test_take_overs_copy_the_states_before_the_round(program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    before = state(program)
    still = round_of(
        SETTING, 1, [1, 0, 0, 3], hparams=hparams(SPACE, [{"lr": 0.1, "decay": 0.1}] * 4)
    )
    moved = program._takeovers.carry_out(program._standing, still.sources)
    assert same([np.asarray(array) for array in moved], [array[[1, 0, 0, 3]] for array in before])
    program._state = moved


def test_a_fresh_row_is_what_it_would_have_been_at_first(program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    first = state(program)
    played(program, round_of(SETTING, 1))
    turns = np.array([2, 0, 2, 2])
    played(program, round_of(SETTING, 2, [0, FRESH, 2, 3], turns=turns))
    again = state(program)
    assert same([array[1] for array in again], [array[1] for array in first])


def test_saved_rows_load_bitwise_and_train_on_bitwise(tmp_path: Path, program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    program.keep({0: 2})
    rows = program.copy()
    kept = state(program)
    played(program, round_of(SETTING, 1, [3, 0, 1, 2]))  # `rows` stays as it was
    after = state(program)
    rows.write(tmp_path)
    program.keep({0: 0})
    program.load(tmp_path)
    assert same(state(program), kept)
    played(program, round_of(SETTING, 1, [3, 0, 1, 2]))
    assert same(state(program), after)
    assert same([a[-1] for a in program.copy().arrays], [array[2] for array in kept])


def test_slots_keep_rows_until_others_come(tmp_path: Path, compilations: list[str]) -> None:
    given = setting(slots=3)
    program = opened(DESCENT, given)
    settled = len(compilations)
    played(program, round_of(given, 0))
    first = state(program)
    program.keep({0: 3, 2: 1})
    played(program, round_of(given, 1))
    second = state(program)
    program.keep({2: 2})
    program.copy().write(tmp_path)
    assert len(compilations) == settled
    layout = program._checked.member.layout
    assert same(read_row(tmp_path, layout, -1), [array[3] for array in first])
    assert same(read_row(tmp_path, layout, -3), [array[2] for array in second])
    with pytest.raises(CheckpointError, match="no row -2"):
        read_row(tmp_path, layout, -2)


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_a_program_with_other_slots_takes_those_that_it_has(tmp_path: Path, slots: int) -> None:
    writer, reader = opened(DESCENT, setting(slots=2)), opened(DESCENT, setting(slots=slots))
    played(writer, round_of(SETTING, 0))
    writer.keep({0: 3, 1: 1})
    writer.copy().write(tmp_path)
    reader.load(tmp_path)
    assert same(state(reader), state(writer))
    kept = state(writer)
    for slot, row in [(0, 3), (1, 1)][:slots]:
        found = [array[-1 - slot] for array in reader.copy().arrays]
        assert same(found, [array[row] for array in kept])
    assert reader.copy().kept == (0, 1)[:slots]


def test_idle_rows_stay_as_they_are_and_touch_no_other(program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    before = state(program)
    played(program, round_of(SETTING, 1, [2, 1, 2, 3]))
    trained = state(program)
    played(program, round_of(SETTING, 0))
    idle = np.array([False, True, False, True])
    nan = {name: np.where(idle, np.nan, values) for name, values in GIVEN_HPARAMS.items()}
    scores = played(program, round_of(SETTING, 1, [2, 1, 2, 3], idle=idle, hparams=nan))
    after = state(program)
    assert same([array[idle] for array in after], [array[idle] for array in before])
    assert same([array[~idle] for array in after], [array[~idle] for array in trained])
    assert scores.finite.all()


def test_idle_rows_have_no_say_in_the_step_of_the_study() -> None:
    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return batch + 0 * (hparams["lr"] + hparams["decay"])

    functions = VectorTrainable(
        lambda k, h: jnp.zeros(2),
        step,
        lambda s, h, k: s.sum(),
        batches(np.arange(8.0), 2, shared=True),
    )
    program = opened(functions, SETTING)
    drawn = []
    for starts, idle in [([3, 3, 3, 3], None), ([3, 3, 9, 9], np.array([0, 0, 1, 1], bool))]:
        played(program, round_of(SETTING, 0, starts=np.array(starts), idle=idle))
        drawn.append(state(program)[0][0])
    np.testing.assert_array_equal(*drawn)


def test_rounds_train_in_the_states_own_memory_also_after_a_copy(program: JaxProgram) -> None:
    played(program, round_of(SETTING, 0))
    program.keep({0: 1})
    program.copy()
    before = [array.unsafe_buffer_pointer() for array in program._standing]
    played(program, round_of(SETTING, 1))
    assert {array.unsafe_buffer_pointer() for array in program._standing} == set(before)


def test_one_member_is_read_in_the_users_structure_before_anything_is_compiled(
    tmp_path: Path, program: JaxProgram
) -> None:
    played(program, round_of(SETTING, 0))
    program.keep({0: 1})
    program.copy().write(tmp_path)
    w = state(program)[1]
    reader = DESCENT.program()
    read = [reader.member(tmp_path, row, {}, SPACE) for row in (2, BEST)]
    assert set(read[0]) == {"w", "steps"}
    assert same([np.asarray(member["w"]) for member in read], [w[2], w[1]])


def test_a_saved_member_is_measured_again_with_fresh_randomness(
    tmp_path: Path, program: JaxProgram
) -> None:
    played(program, round_of(SETTING, 0))
    program.copy().write(tmp_path)
    given = {"lr": 0.1, "decay": 0.1}
    found = program.evaluate(tmp_path, 0, given, seed=5, count=4)
    assert set(found) == {"score", "score_std"}
    assert found["score_std"] > 0
    assert found == program.evaluate(tmp_path, 0, given, seed=5, count=4)
    assert found != program.evaluate(tmp_path, 0, given, seed=6, count=4)
    assert set(program.evaluate(tmp_path, 0, given, seed=5, count=1)) == {"score"}


@pytest.mark.parametrize("bad", [0, 3], ids=["first", "last"])
def test_a_row_that_is_not_finite_touches_no_other(bad: int, program: JaxProgram) -> None:
    def evaluated(values: list[float]) -> tuple[list[np.ndarray], Any]:
        given = hparams(SPACE, [{"lr": lr, "decay": 0.1} for lr in values])
        played(program, round_of(SETTING, 0, hparams=given))
        scores = played(program, round_of(SETTING, 1, hparams=given))
        return state(program), scores

    healthy = [0.1, 0.2, 0.3, 0.4]
    arrays, _ = evaluated(healthy)
    sick, scores = evaluated([float("nan") if i == bad else lr for i, lr in enumerate(healthy)])
    assert scores.finite.tolist() == [i != bad for i in range(4)]
    others = np.arange(4) != bad
    assert same([a[others] for a in sick], [a[others] for a in arrays])


def test_a_score_that_is_not_finite_counts_only_where_it_is_measured() -> None:
    functions = VectorTrainable(
        lambda key, h: jnp.zeros(()),
        lambda state, h, batch, key: state + h["lr"] + h["decay"],
        lambda state, h, key: jnp.log(-state),
    )
    program = opened(functions, SETTING)
    assert not played(program, round_of(SETTING, 0)).finite.any()
    unmeasured = round_of(SETTING, 1, measured=np.zeros(4, np.bool_))
    assert played(program, unmeasured).finite.all()
    some = np.array([True, False, False, True])
    assert played(program, round_of(SETTING, 2, measured=some)).finite.tolist() == (~some).tolist()


def test_chunks_train_the_same_members() -> None:
    given = setting(population=6)
    runs = []
    for chunk in (6, 2):
        program = opened(DESCENT, given, chunk=chunk)
        assert program.chunk == chunk
        for turn in range(2):
            scores = played(program, round_of(given, turn))
        runs.append([*state(program), *scores.metrics.values()])
    for array, whole in zip(*runs, strict=True):
        np.testing.assert_allclose(array, whole, rtol=1e-5)


@pytest.mark.parametrize(("chunk", "taken"), [(4, 4), (3, 2), (1, 1), (16, 4)])
def test_chunks_are_equal_whatever_was_chosen_elsewhere(chunk: int, taken: int) -> None:
    assert opened(DESCENT, SETTING, chunk=chunk).chunk == taken


@pytest.mark.parametrize("chunk", [0, -1, True, 2.0, "all"])
def test_a_chunk_is_a_number_of_members(chunk: Any) -> None:
    with pytest.raises(UsageError, match='"auto" or a number of members, at least 1; got'):
        opened(DESCENT, SETTING, chunk=chunk)


@pytest.mark.parametrize("chunk", ["auto", 4, 2, 1])
def test_a_device_without_room_when_a_program_is_opened_names_the_chunk_to_go_on_with(
    chunk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU does when it tries out kernels, and no CPU does."""
    compile = Placement.compile

    def full(*arguments: Any, **options: Any) -> Any:
        compile(*arguments, **options)
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    monkeypatch.setattr(Placement, "compile", full)
    with pytest.raises(OutOfMemory) as caught:
        opened(DESCENT, SETTING, chunk=chunk)
    assert caught.value.chunk == {"auto": 2, 4: 2, 2: 1, 1: None}[chunk]


def test_data_that_do_not_fit_are_no_matter_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Any:
        raise ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")

    monkeypatch.setattr(Placement, "put", full)
    functions = replace(DESCENT, data=batches(np.ones(8), 2))
    with pytest.raises(OutOfMemory, match="no room for the data") as caught:
        opened(functions, SETTING)
    assert caught.value.chunk is None


def test_a_first_round_needs_a_state() -> None:
    closed = opened(DESCENT, setting(population=1, interval=1))
    with pytest.raises(UsageError, match="from scratch, or after load"):
        closed.start(round_of(setting(population=1, interval=1), 1))


def test_hparams_arrive_in_the_form_that_was_promised() -> None:
    import heredity as hd

    space = hd.Space(
        lr=hd.Uniform(0, 1),
        depth=hd.Integer(1, 5),
        width=hd.Ordinal([0.5, 1.5]),
        act=hd.Categorical(["relu", "tanh", "sin"]),
        size=hd.Ordinal(["small", "large"]),
        name=hd.Constant("abc"),
    )
    names = ("lr", "depth", "width", "act", "size")

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        assert list(hparams) == [*space]
        assert hparams["name"] == "abc"
        assert [hparams[n].dtype for n in names] == [
            jnp.float32,
            jnp.int32,
            jnp.float32,
            jnp.int32,
            jnp.int32,
        ]
        tanh = jax.lax.switch(hparams["act"], [lambda: 0.0, lambda: 1.0, lambda: 2.0])
        return jnp.stack([*(hparams[n].astype(float) for n in names), tanh])

    functions = VectorTrainable(lambda k, h: jnp.zeros(6), step, lambda s, h, k: s.sum())
    given = setting(population=1, space=space)
    members = [{"lr": 0.25, "depth": 3, "width": 1.5, "act": "sin", "size": "large", "name": "abc"}]
    program = opened(functions, given)
    played(program, round_of(given, 0, hparams=hparams(space, members)))
    assert state(program)[0].tolist() == [[0.25, 3.0, 1.5, 2.0, 1.0, 2.0]]


def test_an_optimizer_is_built_of_traced_hparams_inside_step() -> None:
    import optax

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        w, moments = state
        optimizer = optax.adamw(hparams["lr"], weight_decay=hparams["decay"])
        updates, moments = optimizer.update(jax.grad(lambda w: (w**2).sum())(w), moments, w)
        return optax.apply_updates(w, updates), moments

    def init(key: Any, hparams: Any) -> Any:
        w = jnp.ones(3)
        return w, optax.adamw(0.0).init(w)

    functions = VectorTrainable(init, step, lambda s, h, k: -(s[0] ** 2).sum())
    assert played(opened(functions, SETTING), round_of(SETTING, 0)).finite.all()


@pytest.mark.parametrize("wrapped", [lambda f: f, jax.jit], ids=["plain", "jitted"])
def test_what_all_members_share_is_in_memory_once(wrapped: Any) -> None:
    """Small adapters on a large frozen network: memory grows with the adapters only."""
    frozen = jax.random.normal(jax.random.key(0), (500, 500))

    @wrapped
    def forward(adapter: Any) -> Any:
        a, b = adapter
        return jnp.tanh(jnp.ones(500) @ frozen + (jnp.ones(500) @ a) @ b)

    def init(key: Any, hparams: Any) -> Any:
        return 0.01 * jax.random.normal(key, (500, 2)), jnp.zeros((2, 500))

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        gradient = jax.grad(lambda s: (forward(s) ** 2).mean())(state)
        rate = hparams["lr"] * (1 - hparams["decay"])
        return jax.tree.map(lambda s, g: s - rate * g, state, gradient)

    functions = VectorTrainable(init, step, lambda s, h, k: (forward(s) ** 2).mean())
    sizes = {}
    for population in (2, 8):
        program = opened(functions, setting(population=population))
        memory = program._program(3).compiled.memory_analysis()
        sizes[population] = memory.argument_size_in_bytes
        assert memory.temp_size_in_bytes < 1.5 * frozen.nbytes
    adapter_bytes = 2 * 500 * 2 * 4
    assert sizes[2] >= frozen.nbytes
    assert 6 * adapter_bytes <= sizes[8] - sizes[2] < 6 * adapter_bytes + 1000


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.float32])
def test_what_all_programs_refer_to_is_in_memory_once(kind: Any, tmp_path: Path) -> None:
    """Rounds of any length, evaluations, fresh states, and the data."""
    values = np.random.default_rng(0).normal(size=(1009, 7))
    x = jnp.asarray(values) if kind is jnp.float32 else values.astype(kind)

    def init(key: Any, hparams: Any) -> Any:
        return x[:3].sum(axis=0) * jnp.ones(7)

    def step(w: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return w - hparams["lr"] * (batch.mean() + (x @ w).mean()) + hparams["decay"]

    functions = VectorTrainable(init, step, lambda w, h, k: (x @ w).mean(), batches(x, 5))
    before = {id(array) for array in jax.live_arrays()} - {id(x)}
    program = opened(functions, SETTING)
    played(program, round_of(SETTING, 0))
    played(program, round_of(SETTING, 1, steps=2))
    played(program, round_of(SETTING, 2, [FRESH, 1, 2, 3]))
    program.copy().write(tmp_path)
    program.evaluate(tmp_path, 0, {"lr": 0.1, "decay": 0.1}, seed=1, count=1)

    def buffers() -> set[int]:
        arrays = [a for a in jax.live_arrays() if id(a) not in before and a.shape == x.shape]
        return {array.unsafe_buffer_pointer() for array in arrays}

    assert len(buffers()) == 1
    program.close()
    assert len(buffers()) == (kind is jnp.float32)


def test_data_is_in_memory_once_and_each_member_draws_batches_of_its_own() -> None:
    x = np.arange(40, dtype=np.float32)

    def step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return jnp.roll(state, 5).at[:5].set(batch) + 0 * (hparams["lr"] + hparams["decay"])

    functions = VectorTrainable(
        lambda k, h: jnp.zeros(40), step, lambda s, h, k: s.sum(), data=batches(x, 5)
    )
    given = setting(interval=8)
    program = opened(functions, given)
    played(program, round_of(given, 0))
    drawn = state(program)[0]
    assert np.sort(drawn, axis=1).tolist() == [x.tolist()] * 4  # an epoch: every example once
    assert len(np.unique(drawn, axis=0)) == 4  # in an order of each member's own
    played(program, round_of(given, 1))
    assert not np.array_equal(state(program)[0], drawn)
