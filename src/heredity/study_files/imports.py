"""The Python trainable that a study file names: `module:Class`, from beside the file or installed.

Unlike a script, the module is imported under its own name, so that workers import it too.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from heredity.errors import UsageError, did_you_mean


def imported(reference: str, folder: Path) -> Any:
    """What `module:Class` names; modules in `folder` come first.

    Raises `UsageError`, with the user's own frames as a note where their module failed.
    """
    module_name, _, path = reference.partition(":")
    found: Any = _module(module_name, folder.resolve())
    for name in path.split("."):
        if not hasattr(found, name):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise UsageError(f"{module_name} has no {name!r}.{did_you_mean(name, public)}")
        found = getattr(found, name)
    return found


def _module(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a script may end its process
        raise _failure(name, folder, error) from error
    _require_from(folder, name, module)
    return module


def _require_from(folder: Path, name: str, module: ModuleType) -> None:
    """A process imports one module of a name: another study's must not be taken for this one's."""
    beside = folder.joinpath(*name.split(".")).with_suffix(".py")
    used = getattr(module, "__file__", None)
    if beside.is_file() and (used is None or Path(used).resolve() != beside):
        raise UsageError(
            f"the module {name!r} of this process is {used or 'built in'}, not {beside}: give one "
            f"of them another name"
        )


def _failure(name: str, folder: Path, error: BaseException) -> UsageError:
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and f"{name}.".startswith(error.name + ".")
    ):
        return UsageError(f"there is no module {error.name!r} in {folder} or on the search path")
    raised = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    failure = UsageError(f"the module {name!r} cannot be imported: {raised}")
    failure.add_note(_frames(error))
    return failure


def _frames(error: BaseException) -> str:
    """The error's traceback without the import system's own frames."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _is_ours(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")
