"""The check of a user's functions before anything is trained: traced once, nothing is computed.

Whatever is wrong is one `UsageError` in the user's own words. This file knows nothing of how a
population is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax

from heredity.errors import HeredityError, UsageError, did_you_mean
from heredity.executors.program import Setting
from heredity.jax.hparams import Hparams, Values
from heredity.jax.keys import require_sound_draws, require_sound_keys
from heredity.jax.layout import Layout, outline
from heredity.jax.liveness import dependencies
from heredity.jax.member import Member
from heredity.jax.words import in_words, is_leak
from heredity.space import Space

if TYPE_CHECKING:
    from heredity.jax.trainable import VectorTrainable

Attempt = Callable[[Values], Any]
"""Traces a user function with these hparams, some of them plain values."""


@dataclass(frozen=True)
class Checked:
    """What tracing showed.

    Attributes:
        member: the functions, ready to be trained.
        step_metrics, metrics: the names of what `step` and `evaluate` measure.
    """

    member: Member
    step_metrics: tuple[str, ...]
    metrics: tuple[str, ...]


def check(functions: VectorTrainable, setting: Setting, batch: Any) -> Checked:
    """Trace the functions with stand-ins of the hparams and of a batch.

    Raises `UsageError`: see `VectorProgram.open`.
    """
    require_sound_keys()
    hparams = Hparams(setting.space)
    hparams.require_traceable()
    hparams.require_exact()
    probe = _Probe(functions, hparams, setting.metric, batch)
    member = _settled(Member(functions, hparams, setting.metric, probe.layout()), probe)
    state = list(member.layout.arrays)
    step_metrics, lasting = probe.step(member, state)
    metrics, deciding = probe.evaluate(member, state)
    if functions.inherit is not None:
        _traced("inherit", jax.eval_shape, member.inherit, state, state)
    if both := sorted(set(step_metrics) & set(metrics)):
        raise UsageError(f"step and evaluate both measure `{both[0]}`: rename one of them")
    _require_live(hparams, lasting | deciding, probe)
    return Checked(member, step_metrics, metrics)


def layout_of(functions: VectorTrainable, space: Space, names: Collection[str] = ()) -> Layout:
    """The layout of a saved member's state, from `init` and the names of what is saved."""
    return _Probe(functions, Hparams(space), "", None).layout(names)


def _settled(member: Member, probe: _Probe) -> Member:
    """The member with the layout that its state keeps while it trains."""
    while changing := probe.changing_numbers(member):
        member = replace(member, layout=probe.layout((*member.layout.names, *changing)))
    if not member.layout.arrays:
        raise UsageError("init returned a state without any array: return what step trains")
    return member


class _Probe:
    """Traces the three functions."""

    def __init__(
        self, functions: VectorTrainable, hparams: Hparams, metric: str, batch: Any
    ) -> None:
        self.functions = functions
        self.hparams = hparams
        self.metric = metric
        self.batch = batch
        self.key = jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32"))
        self.values = hparams.shapes()

    def layout(self, names: Collection[str] = ()) -> Layout:
        """Of what `init` returns; plain numbers are arrays if they are among `names`."""
        layout: Layout = self._try("init", lambda values: self._init(values, names))
        require_sound_draws(self._drawn.jaxpr, "init")
        return layout

    def _init(self, values: Values, names: Collection[str]) -> Layout:
        plain, shapes = _parted(values)
        return outline(
            lambda key, traced: self.functions.init(key, self.hparams.given({**plain, **traced})),
            self.key,
            shapes,
            names=names,
        )

    def changing_numbers(self, member: Member) -> list[str]:
        """The paths of plain numbers in the state that `step` makes others of."""
        found: list[str] = []

        def traced(*arguments: Any) -> None:
            found.extend(member.layout.changed(member.stepped(*arguments)[0]))

        state = list(member.layout.arrays)
        if member.layout.numbers:
            with suppress(Exception):  # it is said when `step` is traced for good
                jax.eval_shape(traced, state, self.values, self.batch, self.key)
        return found

    def step(self, member: Member, state: list[Any]) -> tuple[tuple[str, ...], set[str]]:
        """Names of the step metrics, and of the hparams that the new state depends on."""
        closed, (_, metrics) = self._try(
            "step",
            lambda values: self._jaxpr(
                lambda v, s, b, k: member.step(s, v, b, k), values, state, self.batch, self.key
            ),
        )
        require_sound_draws(closed.jaxpr, "step")
        found = self._sources(closed, range(len(state)))
        return tuple(metrics), found

    def evaluate(self, member: Member, state: list[Any]) -> tuple[tuple[str, ...], set[str]]:
        """Names of the metrics, and of the hparams that the score depends on."""
        closed, metrics = self._try(
            "evaluate",
            lambda values: self._jaxpr(
                lambda v, s, k: member.evaluate(s, v, k), values, state, self.key
            ),
        )
        require_sound_draws(closed.jaxpr, "evaluate")
        if self.metric not in metrics:
            raise UsageError(
                f"evaluate gave no metric `{self.metric}`, which is the objective."
                f"{did_you_mean(self.metric, metrics)}"
            )
        score = sorted(metrics).index(self.metric)  # a dict's leaves are in the order of its keys
        return tuple(metrics), self._sources(closed, [score])

    def init_reads(self, name: str) -> bool:
        """Whether a fresh state depends on a hparam."""
        return name in self._sources(self._drawn, range(len(self._drawn.jaxpr.outvars)))

    @cached_property
    def _drawn(self) -> Any:
        """`init`, traced."""
        return jax.make_jaxpr(
            lambda v, k: [
                leaf
                for leaf in jax.tree.leaves(self.functions.init(k, self.hparams.given(v)))
                if isinstance(leaf, jax.Array)
            ]
        )(self.values, self.key)

    def _jaxpr(self, function: Callable[..., Any], values: Values, *rest: Any) -> Any:
        plain, shapes = _parted(values)
        return jax.make_jaxpr(
            lambda traced, *rest: function({**plain, **traced}, *rest), return_shape=True
        )(shapes, *rest)

    def _sources(self, closed: Any, outputs: Any) -> set[str]:
        names = sorted(self.values)  # the order of a dict's leaves
        others = len(closed.jaxpr.invars) - len(names)
        inputs = [frozenset({i}) for i in range(len(names))] + [frozenset[int]()] * others
        found = dependencies(closed.jaxpr, inputs)
        return {names[i] for output in outputs for i in found[output]}

    def _try(self, what: str, attempt: Attempt) -> Any:
        """Trace; if that needs a plain value, find out of which hparam."""
        try:
            return _traced(what, attempt, self.values)
        except UsageError as error:
            cause = error.__cause__
            if isinstance(cause, KeyError) and not _declared(cause.args[0], self.hparams.space):
                known = did_you_mean(str(cause.args[0]), self.hparams.space)
                raise UsageError(f"{error}. Hparams are declared in the space.{known}") from cause
            if self.batch is None and what == "step" and "NoneType" in str(cause):
                hint = "without data=batches(…) or stream(…) the batch is None"
                raise UsageError(f"{error}. Note: {hint}") from cause
            if cause is None or is_leak(cause) or not (reason := self._reason(attempt)):
                raise
            raise UsageError(f"{what} {reason}") from cause

    def _reason(self, attempt: Attempt) -> str:
        """Which hparam's value the function needs, if a plain one would let it be traced."""
        if name := self._culprit(attempt, self.hparams.example):
            return (
                f"needs the plain value of the hparam `{name}` (as a shape, in a Python "
                f"`if`, or in NumPy), but all members train as one program, in which it is traced: "
                "mask, or use jnp.where or lax.cond, or declare it hd.Constant(…)"
            )
        if name := self._culprit(attempt, self.hparams.choice):
            return (
                f"takes the hparam `{name}` for one of its choices, but all members train as one "
                f"program, in which it is the index of the choice: "
                f'use jax.lax.switch(hparams["{name}"], […]) with a function for each'
            )
        return ""

    def _culprit(self, attempt: Attempt, example: Callable[[str], Any]) -> str:
        """The hparam whose plain value would let the function be traced; empty if none."""
        for name in self.values:
            if _passes(attempt, {**self.values, name: example(name)}):
                return name
        plain = {name: example(name) for name in self.values}
        if not _passes(attempt, plain):
            return ""
        return next(
            name for name in self.values if not _passes(attempt, {**plain, name: self.values[name]})
        )


def _declared(name: object, space: Space) -> bool:
    return isinstance(name, str) and name in space


def _parted(values: Values) -> tuple[Values, Values]:
    """Plain values and stand-ins."""
    stands = {n: v for n, v in values.items() if isinstance(v, jax.ShapeDtypeStruct)}
    return {n: v for n, v in values.items() if n not in stands}, stands


def _passes(attempt: Attempt, values: Values) -> bool:
    try:
        attempt(values)
    except Exception:
        return False
    return True


def _traced(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that traces user code, and put what it raises in the user's words."""
    try:
        with jax.checking_leaks():
            return function(*arguments)
    except UsageError as error:
        raise UsageError(str(error)) from None  # without what JAX notes on its own frames
    except HeredityError:
        raise
    except Exception as error:
        raise UsageError(in_words(what, error)) from error


def _require_live(hparams: Hparams, live: set[str], probe: _Probe) -> None:
    for name in hparams.dtypes:
        if name in live:
            continue
        if probe.init_reads(name):
            raise UsageError(
                f"only init reads the hparam `{name}`: it would have no effect on a member that "
                "takes over another. Use it in step or evaluate, or declare it hd.Constant(…)"
            )
        raise UsageError(
            f"nothing that lasts depends on the hparam `{name}`: neither the state that step "
            f'returns nor the score. Use hparams["{name}"] where it takes effect, or take it out '
            "of the space"
        )
