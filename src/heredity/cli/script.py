"""Finding the study in a user's file: the file becomes a module under its own name.

It is not run as `__main__`, so a guarded `study.run()` does not start by itself, and workers can
import it by name.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from heredity.errors import HeredityError, NotFound, UsageError, did_you_mean

if TYPE_CHECKING:
    from heredity.study import Study


def study_in(text: str) -> Study:
    """The study of `FILE.py`, which holds one, or of `FILE.py:NAME`.

    Raises `NotFound` where there is no such file or study, and `UsageError` for several, or for a
    file that cannot be imported, with the user's own frames as a note.
    """
    from heredity.study import Study

    path, wanted = _parted(text)
    module = load(path)
    found = {name: value for name, value in vars(module).items() if isinstance(value, Study)}
    if wanted:
        return _named(path, wanted, found)
    if not found:
        raise NotFound(
            f"{path} defines no study: make one at the top level of the file, for example "
            f"`study = hd.Study(…)`"
        )
    if len({id(study) for study in found.values()}) > 1:
        listed = ", ".join(f"{path}:{name}" for name in found)
        raise UsageError(f"{path} defines several studies; run one of {listed}")
    return next(iter(found.values()))


def load(path: Path) -> ModuleType:
    """The file as a module, with its folder on the search path as if it were run."""
    if not path.is_file():
        raise NotFound(f"there is no file {str(path)!r}")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem not in sys.modules else f"_heredity_run_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    arguments, sys.argv = sys.argv, [str(path)]
    try:
        spec.loader.exec_module(module)
    except HeredityError as error:
        error.add_note(_place(error, path))
        raise
    except Exception as error:
        raised = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        failure = UsageError(f"{path} cannot be imported: {raised}")
        failure.add_note(_frames(error, path))
        raise failure from error
    finally:
        sys.argv = arguments
    return module


def _parted(text: str) -> tuple[Path, str]:
    path, _, name = text.rpartition(":")
    return (Path(path), name) if path and not Path(text).exists() else (Path(text), "")


def _named(path: Path, wanted: str, found: dict[str, Study]) -> Study:
    by_name = found | {study.name: study for study in found.values()}
    if wanted not in by_name:
        raise NotFound(f"{path} defines no study {wanted!r}.{did_you_mean(wanted, by_name)}")
    return by_name[wanted]


def _frames(error: Exception, path: Path) -> str:
    """The error's traceback from the user's file on."""
    frame = error.__traceback__
    while frame is not None and Path(frame.tb_frame.f_code.co_filename) != path:
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def _place(error: Exception, path: Path) -> str:
    """The line of the user's file that an error came from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f"at {path}, line {lines[-1]}" if lines else f"in {path}"
