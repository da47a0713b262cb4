"""What a person needs to see of an exception in user code: one line, and their own frames."""

from __future__ import annotations

import traceback
from pathlib import Path

import heredity.errors
from heredity.errors import HeredityError

_OURS = str(Path(heredity.errors.__file__).parent)


def one_line(error: BaseException) -> str:
    """`ValueError: bad shape`; an error raised by `heredity` on purpose speaks for itself."""
    text = str(error).strip()
    if isinstance(error, HeredityError) and text:
        return text
    first, _, rest = text.partition("\n")
    return (
        f"{type(error).__name__}: {first}{' …' if rest else ''}" if text else type(error).__name__
    )


def user_frames(error: BaseException) -> str:
    """The traceback without the frames of this package; empty if there are no others."""
    shown = traceback.TracebackException.from_exception(error)
    if not any([_strip(part) for part in _chain(shown)]):
        return ""
    return "".join(shown.format())


def _chain(shown: traceback.TracebackException) -> list[traceback.TracebackException]:
    """The exception and those it came from."""
    found, queue = [], [shown]
    while queue:
        part = queue.pop()
        found.append(part)
        queue += [
            other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other
        ]
    return found


def _strip(shown: traceback.TracebackException) -> bool:
    """Remove our frames; whether any of the user's are left."""
    shown.stack[:] = [frame for frame in shown.stack if not frame.filename.startswith(_OURS)]
    return bool(shown.stack) or isinstance(shown.exc_type, type) and shown.filename is not None
