"""Trying the user's functions out on two members before training, and saying what is wrong.

`try_out` finds out what the program has to know of them: the form of a member's state, and which
functions draw random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from traceback import extract_tb
from typing import Any

import torch
from torch import Tensor

from heredity.errors import HeredityError, TrainingError, UsageError
from heredity.space import Keep, Space
from heredity.torch.vector.bodies import Body, split
from heredity.torch.vector.draws import KEYED
from heredity.torch.vector.liveness import dead
from heredity.torch.vector.tree import Flat
from heredity.trainables.metrics import demand
from heredity.trainables.traces import one_line, user_frames

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


def try_out(trial: Trial) -> Traits:
    """Run and trace every function once. Raises `UsageError` or the user's own error."""
    step, evaluate = trial.body.names
    step_draws, (state, _) = _attempt(step, trial, trial.stepped)
    _check_form(trial.state, state, step)
    evaluate_draws, scores = _attempt(evaluate, trial, trial.scored)
    named = scores if isinstance(scores, Mapping) else {trial.metric: scores}
    demand(trial.metric, dict.fromkeys(named, 0.0), evaluate)
    traits = Traits(step_draws, evaluate_draws)
    _check_liveness(trial, traits)
    return traits


def _attempt(name: str, trial: Trial, run: Callable[..., Any]) -> tuple[bool, Any]:
    """Run without random numbers, which costs less, else with."""
    try:
        return False, run(False)
    except Exception:
        pass
    try:
        return True, run(True)
    except HeredityError:
        raise
    except Exception as error:
        raise _explained(name, error, trial, run) from error


def _explained(name: str, error: Exception, trial: Trial, run: Callable[..., Any]) -> HeredityError:
    text = str(error)
    if "randomness error mode" in text:
        known = ", ".join(sorted(function.__name__ for function in KEYED))
        return UsageError(
            f"{name} draws random numbers with a function that cannot draw for each member on its "
            f"own: use {known}, or modules made of these such as torch.nn.Dropout"
        )
    if any(frame.filename.endswith("batchnorm.py") for frame in extract_tb(error.__traceback__)):
        return UsageError(
            f"{name}: this normalization cannot keep its running statistics for each member: use "
            "torch.nn.GroupNorm, or BatchNorm with a `momentum` or with track_running_stats=False "
            "(torch.func.replace_all_batch_norm_modules_ sets the latter)"
        )
    if ".item()" in text or "data-dependent control flow" in text:
        return UsageError(_plain_needed(name, trial, run))
    return TrainingError(f"{name}: {one_line(error)}", remote_traceback=user_frames(error))


def _plain_needed(name: str, trial: Trial, run: Callable[..., Any]) -> str:
    culprits = [hparam for hparam in trial.plain if _runs(trial, run, hparam)]
    if culprits:
        listed = ", ".join(f"`{hparam}`" for hparam in culprits)
        return (
            f"{name} needs the plain value of the hparam {listed}, for a shape, a count or an "
            "`if`, but members differ in it and train as one program: make it Constant, compute "
            "with it as a tensor (torch.where in place of `if`), or train with "
            "heredity.torch.Trainable"
        )
    return (
        f"{name} needs the plain value of a tensor (float(), int(), .item(), or an `if` on it), "
        "but it runs once for all members: return tensors as they are, and use torch.where in "
        "place of `if`"
    )


def _runs(trial: Trial, run: Callable[..., Any], hparam: str) -> bool:
    """Whether it runs once this hparam is a plain value."""
    try:
        run(True, {**trial.hparams, hparam: trial.plain[hparam]})
    except Exception:
        return False
    return True


def _check_form(before: Flat, after: Flat, step: str) -> None:
    for path in before.keys() | after.keys():
        where = f"the state's `{path}`" if path else "the state"
        if path not in after:
            raise UsageError(f"{step} leaves out {where}: return all of the state")
        if path not in before:
            raise UsageError(f"{step} adds {where}: make it in init()")
        old, new = before[path], after[path]
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise UsageError(
                f"{step} changes {where} from {_form(old)} to {_form(new)}: it must stay the same"
            )


def _form(leaf: Tensor) -> str:
    return f"{leaf.dtype} of shape {tuple(leaf.shape[1:])}"


def _check_liveness(trial: Trial, traits: Traits) -> None:
    constants, columns = split(trial.hparams)

    def outcome(*values: Tensor) -> list[Tensor]:
        hparams = {**constants, **dict(zip(columns, values, strict=True))}
        with torch.no_grad():
            state, _ = trial.stepped(traits.step_draws, hparams)
            scores = trial.scored(traits.evaluate_draws, hparams)
        score = scores[trial.metric] if isinstance(scores, Mapping) else scores
        return [*state.values(), score]

    unused = dead(outcome, columns) if columns else []
    if unused:
        listed = ", ".join(f"`{name}`" for name in unused)
        raise UsageError(
            f"nothing depends on the hparam {listed}, neither a member's new state nor its score: "
            "use it where it takes effect (in the loss, the model, or the optimizer by its name), "
            "or take it out of the space"
        )
