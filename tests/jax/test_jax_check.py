"""Whatever is wrong with a user's functions is one error in their words, before any training."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from populations import (
    DESCENT,
    SPACE,
    check,
    evaluate,
    init,
    opened,
    played,
    round_of,
    setting,
    step,
)

import heredity as hd
from heredity.errors import UsageError
from heredity.jax import VectorTrainable, batches, stream
from heredity.jax.check import check as jax_check

SIZED = hd.Space(SPACE, width=hd.Ordinal([2, 4]))
LEAKED: list[Any] = []


def changed(**functions: Any) -> VectorTrainable:
    return replace(DESCENT, **functions)


def step_to(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A step whose new state is changed."""
    return lambda *arguments: change(step(*arguments)[0])


def narrow(tree: Any) -> Any:
    return {**tree, "w": tree["w"].astype(jnp.float16)}


def longer(tree: Any) -> Any:
    return {**tree, "w": jnp.zeros(4)}


def leak(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
    LEAKED.append(hparams["lr"])
    return step(state, hparams, batch, key)


def dead_step(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
    """Reads decay, but only a metric depends on it."""
    return {**state, "w": state["w"] * hparams["lr"]}, {"decay": hparams["decay"]}


@dataclass
class Net:
    """A class that JAX does not know."""

    w: Any


def pair_init(key: Any, hparams: Any) -> Any:
    return jnp.ones(3), {"m": jnp.zeros(())}


def pair_step(more: Any) -> Any:
    """Of a state that is a pair with a dictionary: a step that adds to it."""

    def stepped(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return state[0] * hparams["lr"] * hparams["decay"], {**state[1], **more}

    return stepped


BAD = {
    "the state is a class that is no pytree": (
        changed(init=lambda k, h: Net(jnp.ones(3) * h["lr"])),
        "the state, which init returned, is a Net, and JAX does not know .*register_dataclass",
    ),
    "the state holds a class that is no pytree": (
        changed(init=lambda k, h: {**init(k, h), "net": Net([jax.random.normal(k)])}),
        r"the state at \['net'\], which init returned, is a Net",
    ),
    "step returns a class that is no pytree": (
        changed(step=lambda s, h, b, k: Net(s["w"] * h["lr"])),
        "the state, which step returned, is a Net",
    ),
    "a state that is a pair grows": (
        changed(init=pair_init, step=pair_step({"more": 1.0}), evaluate=lambda s, h, k: s[0].sum()),
        r"but \[1\]\['more'\] is new",
    ),
    "a tuple becomes a list": (
        changed(
            init=lambda k, h: (jnp.ones(3),),
            step=lambda s, h, b, k: [s[0] * h["lr"] * h["decay"]],
            evaluate=lambda s, h, k: s[0].sum(),
        ),
        "but the state is a list where init made a tuple",
    ),
    "a list deep inside becomes a tuple": (
        changed(
            init=lambda k, h: {**init(k, h), "more": ([jnp.ones(2)], 1)},
            step=lambda *a: {**step(*a)[0], "more": ((jnp.ones(2),), 1)},
        ),
        r"but \['more'\]\[0\] is a tuple where init made a list",
    ),
    "a leaf's shape changes": (
        changed(step=step_to(longer)),
        r"step must return a state just as init makes it, but \['w'\] changes: was float32\[3\], "
        r"is float32\[4\]",
    ),
    "a leaf's dtype changes": (
        changed(step=step_to(narrow)),
        r"\['w'\] changes: was float32\[3\], is float16\[3\] .*\.astype\(float32\)",
    ),
    "a leaf goes missing": (
        changed(step=step_to(lambda tree: {"w": tree["w"]})),
        r"\['steps'\] is missing",
    ),
    "a leaf is new": (
        changed(step=lambda *a: ({**step(*a)[0], "more": 1.0}, {})),
        r"\['more'\] is new",
    ),
    "step returns nothing": (changed(step=lambda *a: None), "but returned None"),
    "metrics are no dictionary": (
        changed(step=lambda *a: (step(*a)[0], 1.0, 2.0)),
        r'but returned a tuple of 3 \(with metrics, step returns \(state, {"loss": …}\)\)',
    ),
    "a flag changes": (
        changed(
            init=lambda key, hparams: {**init(key, hparams), "done": False},
            step=lambda state, *rest: {**step(state, *rest)[0], "done": jnp.array(True)},
        ),
        r"\['done'\] changes: was False, is bool\[\]",
    ),
    "evaluate returns a vector": (
        changed(evaluate=lambda state, hparams, key: state["w"]),
        r"evaluate must return one number as `score`, not an array of shape \(3\)",
    ),
    "evaluate returns nothing": (
        changed(evaluate=lambda state, hparams, key: None),
        "evaluate must return numbers as metrics, but `score` is None",
    ),
    "evaluate returns a pair": (
        changed(evaluate=lambda *a: (evaluate(*a), {})),
        "but `score` is a tuple of 2$",
    ),
    "evaluate makes a plain number": (
        changed(evaluate=lambda state, hparams, key: float(state["w"].sum())),
        r"evaluate needs the plain value of an array \(test_jax_check.py, line \d+: .*no float",
    ),
    "step branches on the state": (
        changed(step=lambda s, *rest: step(s, *rest) if s["steps"] > 3 else s),
        "step needs the plain value of an array .*lax.cond",
    ),
    "evaluate leaves the objective out": (
        changed(evaluate=lambda *a: {"scores": evaluate(*a)}),
        "no metric `score`, which is the objective. Did you mean `scores`?",
    ),
    "a step metric is a vector": (
        changed(step=lambda state, *rest: (step(state, *rest)[0], {"w": state["w"]})),
        "step must return one number as `w`",
    ),
    "two metrics have one name": (
        changed(step=lambda *a: (step(*a)[0], {"score": 0.0})),
        "both measure `score`",
    ),
    "a tracer leaks": (changed(step=leak), "step keeps a traced value beyond its call"),
    "nobody reads an hparam": (
        changed(step=lambda s, h, b, k: step(s, {**h, "decay": 0.0}, b, k)),
        "nothing that lasts depends on the hparam `decay`",
    ),
    "only a metric depends on an hparam": (
        changed(step=dead_step),
        "nothing that lasts depends on the hparam `decay`",
    ),
    "only init reads an hparam": (
        changed(
            init=lambda k, h: {**init(k, h), "w": jnp.full(3, h["decay"])},
            step=lambda s, h, b, k: step(s, {**h, "decay": 0.0}, b, k),
        ),
        "only init reads the hparam `decay`",
    ),
    "an hparam is misspelt": (
        changed(evaluate=lambda s, h, k: h["decoy"]),
        "evaluate cannot be traced: KeyError: 'decoy'.* Did you mean `decay`?",
    ),
    "user code is wrong": (
        changed(init=lambda k, h: jnp.zeros(3) @ jnp.zeros(4)),
        r"init cannot be traced: .*dot_general.* \(test_jax_check.py, line \d+: .*jnp.zeros\(4\)",
    ),
    "a batch is expected of no data": (
        changed(step=lambda s, h, b, k: {**s, "w": s["w"] * b.mean()}),
        "without data=.* the batch is None",
    ),
    "the state holds a key": (
        changed(init=lambda k, h: {**init(k, h), "key": k}),
        r"the state holds a random key at \['key'\]",
    ),
    "the state is empty": (changed(init=lambda k, h: {}), "without any array"),
    "inherit changes the state": (
        changed(inherit=lambda own, donor: donor["w"]),
        "inherit must return a state just as init makes it",
    ),
    "a batch has another shape": (
        changed(
            data=batches((np.ones((8, 5)), np.ones(8)), 4),
            step=lambda s, h, batch, k: step(s, h, batch, k)[0] | {"w": s["w"] @ batch[0]},
        ),
        "step cannot be traced: .*dot_general",
    ),
    "a stream is empty": (changed(data=stream(lambda start: iter(()))), "gave no batch at step 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_the_users_words(case: str) -> None:
    functions, words = BAD[case]
    with pytest.raises(UsageError, match=words):
        check(functions)


@pytest.mark.parametrize(
    "use",
    [
        lambda h: jnp.zeros(h["width"]).sum(),
        lambda h: 1.0 if h["width"] > 2 else 2.0,
        lambda h: float(np.sqrt(h["width"])),
        lambda h: sum(range(h["width"])),
    ],
    ids=["shape", "if", "numpy", "range"],
)
@pytest.mark.parametrize("where", ["init", "step", "evaluate"])
def test_an_hparam_that_cannot_be_traced_is_found_and_named(where: str, use: Any) -> None:
    functions = {
        "init": lambda k, h: {**init(k, h), "used": use(h)},
        "step": lambda s, h, b, k: {**s, "w": s["w"] * use(h)},
        "evaluate": lambda s, h, k: use(h),
    }
    with pytest.raises(UsageError, match=f"{where} needs the plain value of the hparam `width`"):
        check(changed(**{where: functions[where]}), space=SIZED)


def test_an_hparam_that_is_part_of_the_weights_is_refused() -> None:
    space = hd.Space(SPACE, width=hd.Ordinal([2, 4], move=hd.Keep()))
    with pytest.raises(UsageError, match="`width` is part of the weights"):
        check(DESCENT, space=space)


def test_a_constant_may_be_a_shape_and_need_not_be_read() -> None:
    space = hd.Space(SPACE, width=hd.Constant(3), note=hd.Constant("unused"))
    check(
        changed(init=lambda k, h: {**init(k, h), "w": jnp.zeros(h["width"])}),
        space=space,
    )


@pytest.mark.parametrize("name", ["rbg", "unsafe_rbg"])
def test_generators_that_are_wrong_under_vmap_are_refused(name: str) -> None:
    with jax.default_prng_impl(name), pytest.raises(UsageError, match=f"{name}.*threefry2x32"):
        check(DESCENT)


@pytest.mark.parametrize("name", ["rbg", "unsafe_rbg"])
@pytest.mark.parametrize("where", ["init", "step", "evaluate"])
def test_a_function_that_draws_by_such_a_generator_is_refused(where: str, name: str) -> None:
    @jax.jit
    def draw(key: Any) -> Any:
        words = jnp.tile(jax.random.key_data(key), 2)
        return jax.random.normal(jax.random.wrap_key_data(words, impl=name))

    functions = {
        "init": lambda k, h: {**init(k, h), "w": jnp.ones(3) * draw(k)},
        "step": lambda s, h, b, k: step_to(lambda tree: {**tree, "w": tree["w"] * draw(k)})(
            s, h, b, k
        ),
        "evaluate": lambda s, h, k: s["w"].sum() + draw(k),
    }
    with pytest.raises(UsageError, match=f"{where} draws from a key of the generator rbg"):
        check(changed(**{where: functions[where]}))


def test_a_choice_that_is_looked_up_by_its_name_is_found_and_named() -> None:
    space = hd.Space(SPACE, act=hd.Categorical(["relu", "tanh"]))
    acts = {"relu": jax.nn.relu, "tanh": jnp.tanh}
    functions = changed(evaluate=lambda s, h, k: acts[h["act"]](s["w"]).sum())
    with pytest.raises(UsageError, match=r'`act` for one of its.*lax.switch\(hparams\["act"\]'):
        check(functions, space=space)


def test_a_pair_with_a_dictionary_may_be_a_state() -> None:
    """(weights, moments) is a state, and (state, metrics) is not."""

    def pair(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return state[0] * hparams["lr"] * hparams["decay"], {"m": state[1]["m"] + 1.0}

    functions = VectorTrainable(
        lambda k, h: (jnp.ones(3), {"m": jnp.zeros(())}), pair, lambda s, h, k: s[0].sum()
    )
    check(functions)
    check(replace(functions, step=lambda *a: (pair(*a), {"loss": 0.0})))


def test_leaves_that_are_no_arrays_stay_as_init_made_them() -> None:
    def act(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        return {**state, "w": state["act"](state["w"]) * hparams["lr"] + hparams["decay"]}

    functions = VectorTrainable(
        lambda k, h: {"w": jnp.ones(3), "act": jnp.tanh, "name": "net", "train": True},
        act,
        lambda s, h, k: s["w"].sum(),
    )
    check(functions)


def test_plain_numbers_are_arrays_only_if_step_changes_them() -> None:
    def count(state: Any, hparams: Any, batch: Any, key: Any) -> Any:
        rate = hparams["lr"] * hparams["decay"] * state["rate"]
        return {
            **state,
            "w": state["w"] * rate,
            "steps": state["steps"] + 1,
            "sum": state["sum"] + state["steps"],
        }

    functions = VectorTrainable(
        lambda k, h: {"w": jnp.ones(3), "rate": 0.5, "steps": 0, "sum": 0},
        count,
        lambda s, h, k: s["w"].sum(),
    )
    given = setting()
    found = jax_check(functions, given, None)
    assert found.member.layout.names == ("['steps']", "['sum']", "['w']")
    assert found.member.layout.numbers == {"['rate']": 0.5}


def test_what_init_makes_anew_each_time_may_be_in_the_state() -> None:
    functions = VectorTrainable(
        lambda k, h: {"w": jnp.ones(3), "act": lambda x: x * 2},
        lambda s, h, b, k: {**s, "w": s["act"](s["w"]) * h["lr"] + h["decay"]},
        lambda s, h, k: s["w"].sum(),
    )
    check(functions)
    program = opened(functions, setting())
    assert played(program, round_of(setting(), 0)).finite.all()
    with pytest.raises(UsageError, match=r"\['act'\] changes"):
        check(replace(functions, step=lambda s, h, b, k: {**s, "act": lambda x: x}))
