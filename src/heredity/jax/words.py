"""What is wrong with a user's function, in the user's words.

Knows JAX's errors and where the user's code is; nothing of members or populations.
"""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from pathlib import Path
from typing import Any

import jax

import heredity.errors
from heredity.errors import UsageError
from heredity.trainables.traces import one_line

_NOT_THE_USERS = (
    str(Path(heredity.errors.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    "<",
)
"""Where frames say nothing to a user: this package, installed ones, and made-up files."""


_HINTS = {
    "is not a valid JAX type": "Modules hold functions beside arrays, which JAX does not take: use "
    "eqx.filter_grad, eqx.filter_jit and so on, or eqx.partition",
}
"""What to do, by what JAX says."""


def require_takes(name: str, function: Any, arguments: tuple[str, ...]) -> None:
    """Raise `UsageError` unless this is a function that can be called so."""
    call = f"{name}({', '.join(arguments)})"
    if not callable(function):
        raise UsageError(f"{name} is a function like {call}, not {function!r:.80}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some built-in functions do not tell
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise UsageError(f"{name} is called as {call}, but it takes {signature}") from error


def in_words(what: str, error: Exception) -> str:
    """What happened in the user's function `what`, where, and what to do."""
    if is_leak(error):
        return (
            f"{what} keeps a traced value beyond its call (in a global, an attribute or a list "
            "outside, or in an optimizer made of hparams that the state holds): return it as part "
            "of the state or as a metric instead, and make such an optimizer in step"
        )
    if needs_plain(error):
        return (
            f"{what} needs the plain value of an array{_place(error)}, but all members train as "
            "one program, in which it is traced: use jnp instead of np, jnp.where or lax.cond "
            "instead of `if`, lax.fori_loop instead of range, and no float(…)"
        )
    hint = next((f". {hint}" for text, hint in _HINTS.items() if text in str(error)), "")
    return f"{what} cannot be traced: {one_line(error)}{_place(error)}{hint}"


def is_leak(error: BaseException) -> bool:
    """Whether a traced value was kept beyond the call."""
    return isinstance(error, jax.errors.UnexpectedTracerError) or "Leaked" in str(error)


def needs_plain(error: BaseException) -> bool:
    """Whether the function asked a traced array for its value."""
    asked = jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError
    return isinstance(error, (*asked, jax.errors.TracerIntegerConversionError))


def described(value: Any) -> str:
    """What a function returned, by its kind: no tracer is shown."""
    if isinstance(value, jax.Array):
        return f"an array {value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)[:80]
    return f"a {type(value).__name__}"


def _place(error: BaseException) -> str:
    """The last line of the user's own code on the way to an error; empty if there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THE_USERS):
            return f" ({Path(frame.filename).name}, line {frame.lineno}: `{frame.line:.80}`)"
    return ""
