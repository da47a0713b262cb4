"""From the text of a study file to a study: parse, check the shape, make the objects.

Text that is no TOML is refused at its first mistake; of all else every mistake is told at once.
Relative paths in a file are relative to the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heredity.errors import NotFound, UsageError
from heredity.study import Study
from heredity.study_files.lines import Lines
from heredity.study_files.making import Maker
from heredity.study_files.problems import Problem, refusal, shape_problems
from heredity.study_files.shape import adapter

if TYPE_CHECKING:
    from heredity.workshop import AnyExecutor


@dataclass(frozen=True)
class StudyFile:
    """What a study file says.

    Attributes:
        study: the study, which has not begun.
        executor: where its trials run; None is what suits the trainable and the machine.
    """

    study: Study
    executor: AnyExecutor | None


def load(path: str | Path) -> Study:
    """The study that a file describes; nothing runs and nothing is written.

    Raises:
        NotFound: no such file.
        UsageError: tells everything that is wrong with it, line by line.
    """
    return read(path).study


def read(path: str | Path) -> StudyFile:
    """As `load`, and where its trials run."""
    path = Path(path)
    text = _text(path)
    data = _parsed(path, text)
    maker = Maker(data, path.parent, _wrong_shape(data))
    study, executor = maker.study(), maker.executor()
    if study is None or maker.problems:
        raise refusal(str(path), maker.problems, Lines(text))
    return StudyFile(study, executor)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no file {str(path)!r}: `heredity init` writes one") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: this is not text in UTF-8") from None


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        where, why = None, "nested too deeply"
    except ValueError as error:  # also of a number with thousands of digits
        where, why = re.search(r" \(at line (\d+), column (\d+)\)", str(error)), str(error)
    if where is None:  # it is only at the end of the file that something is found to be missing
        line = Lines(text).unfinished
        raise UsageError(f"{path}, line {line}: what begins here is no TOML: {why}")
    raise UsageError(
        f"{path}, line {where[1]}: no TOML at column {where[2]}: {why[: where.start()]}"
    )


def _wrong_shape(data: Mapping[str, Any]) -> list[Problem]:
    from pydantic import ValidationError

    try:
        adapter().validate_python(data)
    except ValidationError as error:
        return list(shape_problems(data, error.errors(include_url=False)))
    return []
