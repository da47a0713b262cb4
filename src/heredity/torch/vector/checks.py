"""Trying the user's functions out on two members before training, and saying what is wrong.

`try_out` finds out what the program has to know of them: the form of a member's state, and which
functions draw random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from heredity.errors import HeredityError, UsageError
from heredity.space import Keep, Space
from heredity.torch.vector.bodies import Body, split
from heredity.torch.vector.liveness import dead
from heredity.torch.vector.mistakes import explained
from heredity.torch.vector.shortage import is_out_of_memory
from heredity.torch.vector.tree import Flat, flatten, unflatten
from heredity.trainables.metrics import demand
from heredity.trainables.traces import one_line

Inherit = Callable[[Any, Any], Any]

ROWS = 2
"""Members to try functions out with: with one, mistakes about the population's axis pass."""


@dataclass(frozen=True)
class Trial:
    """What functions are tried out with: `ROWS` members of the same state.

    Attributes:
        hparams: plain constants, and columns.
        plain: a plain value for each column.
        keys: of `ROWS` members.
    """

    body: Body
    state: Flat
    hparams: Mapping[str, Any]
    plain: Mapping[str, Any]
    batch: Any
    shared_batch: bool
    keys: Tensor
    metric: str
    inherit: Inherit | None

    def stepped(self, keyed: bool, hparams: Mapping[str, Any] | None = None) -> tuple[Flat, Flat]:
        """One step of copies."""
        stepper = self.body.stepper(
            self.hparams if hparams is None else hparams,
            shared_batch=self.shared_batch,
            keyed=keyed,
        )
        state = {path: leaf.clone() for path, leaf in self.state.items()}
        return stepper(state, self.batch, self.keys if keyed else None)

    def scored(self, keyed: bool, hparams: Mapping[str, Any] | None = None) -> Any:
        """The evaluation."""
        hparams = self.hparams if hparams is None else hparams
        return self.body.evaluate(self.state, hparams, self.keys if keyed else None)


@dataclass(frozen=True)
class Traits:
    """What trying out showed: which of the functions draw random numbers."""

    step_draws: bool
    evaluate_draws: bool


def check_space(space: Space) -> None:
    """Raise `UsageError` for an hparam that is part of a member's structure."""
    for name, parameter in space.items():
        if isinstance(parameter.move, Keep) and not parameter.single:
            raise UsageError(
                f"the hparam `{name}` stays with the weights ({parameter!r}), as widths and depths "
                "do, but the members of one program all have the same structure: make it Constant, "
                "or train with heredity.torch.Trainable"
            )


def check_device(device: torch.device) -> None:
    """Raise `UsageError` for a device that torch cannot use."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        raise UsageError(f"there is no device {str(device)!r} ({one_line(error)})") from error


def try_out(trial: Trial) -> Traits:
    """Run and trace every function once. Raises `UsageError` or the user's own error."""
    _, step, evaluate = trial.body.names
    step_draws, (state, shown) = _attempt(step, trial, trial.stepped)
    check_form(trial.state, state, step)
    evaluate_draws, scores = _attempt(evaluate, trial, trial.scored)
    named = scores if isinstance(scores, Mapping) else {trial.metric: scores}
    demand(trial.metric, dict.fromkeys(named, 0.0), evaluate)
    if both := sorted(shown.keys() & named.keys()):
        raise UsageError(f"{step} and {evaluate} both measure `{both[0]}`: rename one of them")
    if trial.inherit is not None:
        _check_inherit(trial, trial.inherit)
    traits = Traits(step_draws, evaluate_draws)
    _check_liveness(trial, traits)
    return traits


def _attempt(name: str, trial: Trial, run: Callable[..., Any]) -> tuple[bool, Any]:
    """Run without random numbers, which costs less, else with."""
    try:
        return False, run(False)
    except Exception:
        pass
    with _explaining(name, trial, run):
        return True, run(True)


@contextmanager
def _explaining(name: str, trial: Trial, run: Callable[..., Any]) -> Iterator[None]:
    """What is raised is told in the user's words."""
    try:
        yield
    except HeredityError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise

        def needed() -> dict[str, Any]:
            return {name: plain for name, plain in trial.plain.items() if _runs(trial, run, name)}

        raise explained(name, error, trial.hparams, needed) from error


def _runs(trial: Trial, run: Callable[..., Any], hparam: str) -> bool:
    """Whether it runs once this hparam is a plain value, or the plain index of a choice."""
    values = trial.plain[hparam], 0
    return any(_passes(run, {**trial.hparams, hparam: value}) for value in values)


def _passes(run: Callable[..., Any], hparams: Mapping[str, Any]) -> bool:
    try:
        run(True, hparams)
    except Exception:
        return False
    return True


def _check_inherit(trial: Trial, inherit: Inherit) -> None:
    name, own = "inherit(own, donor)", unflatten(trial.state)

    def run(keyed: bool, hparams: Any = None) -> Flat:
        return flatten(vmap(inherit)(own, own), name)

    with _explaining(name, trial, run):
        inherited = run(False)
    check_form(trial.state, inherited, name)


def check_form(before: Flat, after: Flat, source: str) -> None:
    """Raise `UsageError` unless a stacked state has the form of another."""
    if ("" in before) != ("" in after):
        kinds = ["a bare tensor" if "" in state else "a dict" for state in (after, before)]
        raise UsageError(f"{source} returned {kinds[0]}, but a member's state is {kinds[1]}")
    for path in before.keys() | after.keys():
        if path not in after:
            raise UsageError(f"{source} leaves out the state's `{path}`: return all of the state")
        if path not in before:
            raise UsageError(f"{source} adds the state's `{path}`: make it in init()")
        old, new = before[path], after[path]
        if (old.shape[1:], old.dtype) != (new.shape[1:], new.dtype):
            where = f"the state's `{path}`" if path else "the state"
            raise UsageError(
                f"{source} changes {where} from {_form(old)} to {_form(new)}: it must stay the "
                "same, and be the same for all members"
            )


def _form(leaf: Tensor) -> str:
    return f"{leaf.dtype} of shape {tuple(leaf.shape[1:])}"


def _check_liveness(trial: Trial, traits: Traits) -> None:
    constants, columns = split(trial.hparams)
    _, step, evaluate = trial.body.names

    def outcome(*values: Tensor) -> list[Tensor]:
        hparams = {**constants, **dict(zip(columns, values, strict=True))}
        with torch.no_grad(), _explaining(step, trial, trial.stepped):
            state, _ = trial.stepped(traits.step_draws, hparams)
        with torch.no_grad(), _explaining(evaluate, trial, trial.scored):
            scores = trial.scored(traits.evaluate_draws, hparams)
        score = scores[trial.metric] if isinstance(scores, Mapping) else scores
        return [*state.values(), score]

    unused = dead(outcome, columns)
    if unused:
        listed = ", ".join(f"`{name}`" for name in unused)
        raise UsageError(
            f"nothing depends on the hparam {listed}, neither a member's new state nor its score: "
            "use it where it takes effect (in the loss, the model, or the optimizer by its name), "
            f"or take it out of the space{_indexed(unused, trial.plain)}"
        )


def _indexed(unused: Sequence[str], plain: Mapping[str, Any]) -> str:
    """What a comparison with a choice, which is never true, comes from."""
    name = next((name for name in unused if not isinstance(plain[name], int | float)), None)
    if name is None:
        return ""
    return (
        f". A choice is its index here: hparams[{name!r}] is 0 for the first one, so it never "
        f"equals {plain[name]!r:.40}"
    )
