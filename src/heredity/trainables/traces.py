"""What a person needs to see of an exception in user code: one line, and their own frames."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

import heredity.errors
from heredity import legible
from heredity.errors import HeredityError

_OURS = (str(Path(heredity.errors.__file__).parent), contextlib.__file__)
"""Where frames say nothing to a user: this package, and what lies between its own calls."""


def one_line(error: BaseException) -> str:
    """`ValueError: bad shape`; an error raised by `heredity` on purpose speaks for itself."""
    text, name = str(error).strip(), type(error).__name__
    if isinstance(error, HeredityError) and text:
        return legible.error(text)
    first, _, rest = text.partition("\n")
    return legible.error(f"{name}: {first}{' …' if rest else ''}" if text else name)


def user_frames(error: BaseException) -> str:
    """The traceback without the frames of this package; empty if there are no others.

    Of an error that brings what another program said, it is that.
    """
    if remote := getattr(error, "remote_traceback", ""):
        return legible.traceback(str(remote))
    shown = traceback.TracebackException.from_exception(error)
    chain = _chain(shown)
    for part in chain:
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_OURS)]
    return legible.traceback("".join(shown.format())) if any(map(_points_at_code, chain)) else ""


def _chain(shown: traceback.TracebackException) -> list[traceback.TracebackException]:
    """The exception and those it came from."""
    found, queue = [], [shown]
    while queue:
        part = queue.pop()
        found.append(part)
        before = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
        queue += [other for other in (before, *(part.exceptions or ())) if other]
    return found


def _points_at_code(shown: traceback.TracebackException) -> bool:
    """Whether there is a line of code to show; a SyntaxError has one without any frame."""
    return bool(shown.stack) or getattr(shown, "filename", None) is not None
