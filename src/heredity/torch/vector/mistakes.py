"""What an exception in a user's function means, in the user's words and with a remedy.

torch's own words are about transforms that the user never called. This file knows the exceptions of
torch, and nothing of how functions are run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any

import torch

from heredity import errors
from heredity.errors import HeredityError, TrainingError, UsageError, did_you_mean
from heredity.torch.vector.draws import KEYED
from heredity.torch.vector.shortage import is_out_of_memory
from heredity.trainables.traces import one_line, user_frames

_NOT_THEIRS = tuple(str(Path(file).parent) for file in (torch.__file__, errors.__file__))
"""Where frames say nothing to a user."""

_PLAIN = (".item()", "data-dependent control flow", "Cannot access data pointer", "to numpy")
_DYNAMIC = "dynamic shape"
_NO_BATCHES = (
    "Batching rule not implemented", "do not support batching", "do not yet support", _DYNAMIC
)  # fmt: skip
_IN_PLACE = "is not possible because there exists a Tensor `other`"


def explained(
    name: str, error: Exception, hparams: Collection[str], needed: Callable[[], Mapping[str, Any]]
) -> HeredityError:
    """The error to raise instead.

    Args:
        name: how the user's function is called.
        hparams: those that are declared.
        needed: finds the hparams whose plain values the function needs, with an example of each.
    """
    text, frames = str(error), extract_tb(error.__traceback__)
    told = f"{name}{_place(frames)}"
    if "randomness error mode" in text:
        return UsageError(_unkeyed(told))
    is_plain = any(words in text for words in _PLAIN)
    if (is_plain or "vmap" in text) and _in_batchnorm(frames):
        return UsageError(_unkept(told))
    if is_plain:
        return UsageError(_plain_needed(told, needed(), frames))
    if any(words in text for words in _NO_BATCHES):
        return UsageError(_not_batched(told, error))
    if _IN_PLACE in text:
        return UsageError(_shared_memory(told))
    if "backward() called inside" in text:
        return UsageError(f"{told} calls backward(): return the loss, gradients are taken for you")
    if choices := _choices(needed()):
        return UsageError(_choice_needed(told, choices[0]))
    if isinstance(error, KeyError) and isinstance(error.args[0], torch.Tensor):
        return UsageError(_looked_up(told))
    return _own(name, error, _hint(error, hparams))


@contextmanager
def own_errors(name: str) -> Iterator[None]:
    """Where the user's function is called plainly: its errors are the user's own."""
    try:
        yield
    except HeredityError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _own(name, error) from error


def _own(name: str, error: Exception, hint: str = "") -> HeredityError:
    return TrainingError(f"{name}: {one_line(error)}{hint}", remote_traceback=user_frames(error))


def _place(frames: Sequence[FrameSummary]) -> str:
    """Where in the user's code."""
    theirs = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    if not theirs:
        return ""
    last = theirs[-1]
    return f" ({Path(last.filename).name}, line {last.lineno}: `{last.line}`)"


def _unkeyed(told: str) -> str:
    known = {function.__name__.rstrip("_") for function in KEYED} - {"empty", "empty_like"}
    return (
        f"{told} draws random numbers with a function that cannot draw for each member on its own: "
        f"use torch's {', '.join(sorted(known))}, or modules made of these such as torch.nn.Dropout"
    )


def _in_batchnorm(frames: Sequence[FrameSummary]) -> bool:
    return any(frame.filename.endswith("batchnorm.py") for frame in frames)


def _unkept(told: str) -> str:
    return (
        f"{told}: this normalization cannot keep its running statistics for each member: use "
        "torch.nn.GroupNorm, or BatchNorm with a `momentum` or with track_running_stats=False "
        "(torch.func.replace_all_batch_norm_modules_ sets the latter)"
    )


def _choices(culprits: Mapping[str, Any]) -> list[str]:
    return [name for name, plain in culprits.items() if not isinstance(plain, int | float)]


def _plain_needed(told: str, culprits: Mapping[str, Any], frames: Sequence[FrameSummary]) -> str:
    if choices := _choices(culprits):
        return _choice_needed(told, choices[0])
    if culprits:
        listed = ", ".join(f"`{hparam}`" for hparam in culprits)
        return (
            f"{told} needs the plain value of the hparam {listed}, for a shape, a count or an "
            "`if`, but members differ in it and train as one program: make it Constant, compute "
            "with it as a tensor (torch.where in place of `if`), or train with "
            "heredity.torch.Trainable"
        )
    if any("distributions" in Path(frame.filename).parts for frame in frames):
        return (
            f"{told}: distributions look at the values of their arguments, which are those of all "
            "members: give them validate_args=False"
        )
    return (
        f"{told} needs the plain value of a tensor (float(), int(), .item(), .numpy(), or an `if` "
        "on it), but it runs once for all members: return tensors as they are, and use torch.where "
        "in place of `if`"
    )


def _choice_needed(told: str, name: str) -> str:
    return (
        f"{told} needs the plain value of the hparam `{name}`, but all members train as one "
        "program, in which it is a tensor, the index of a choice: use torch.where(…), or a tensor "
        f"of what the choices stand for, torch.tensor([0.1, 0.2]).gather(0, hparams[{name!r}])"
    )


def _looked_up(told: str) -> str:
    return (
        f"{told} looks up a tensor in a dict: hparams are tensors, and a choice of a Categorical "
        "is its index, so make a tensor of what is looked up, in the order of the choices: "
        "torch.tensor([0.1, 0.2]).gather(0, hparams[…])"
    )


def _not_batched(told: str, error: Exception) -> str:
    if _DYNAMIC in str(error):
        return (
            f"{told} makes a tensor whose shape depends on values, which differ between members: "
            "keep the shape, for example with torch.where in place of a mask as an index"
        )
    return (
        f"{told} uses an operation that torch cannot compute for all members at once "
        f"({one_line(error)}): use others, or train with heredity.torch.Trainable"
    )


def _shared_memory(told: str) -> str:
    return (
        f"{told} writes a member's values into a tensor that is the same for all members: make it "
        "from one of the member's, for example with x.new_zeros(…), or use torch.stack"
    )


def _hint(error: Exception, hparams: Collection[str]) -> str:
    """What may be the cause of an error that can have others."""
    if isinstance(error, KeyError) and isinstance(key := error.args[0], str) and key not in hparams:
        return f". If an hparam is meant:{did_you_mean(key, hparams)}"
    if "Double" in str(error) and "Float" in str(error):
        return ". NumPy's numbers are float64: give batches() arrays.astype(np.float32)"
    return ""
