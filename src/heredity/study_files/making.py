"""From a study file's tables, whose shape is right, to the objects they describe.

What a class refuses becomes a problem at the key it is about, and making goes on, so that all
problems are told at once.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path as Folder
from typing import Any, TypeVar

from heredity.errors import UsageError
from heredity.evolution.budget import as_budget
from heredity.evolution.objective import Objective
from heredity.executors.program import as_vector
from heredity.space import Space
from heredity.study import Study, study_name
from heredity.study_files.imports import imported
from heredity.study_files.kinds import KINDS, LIMITS, NONE, Field, fields_of
from heredity.study_files.lines import Path
from heredity.study_files.problems import Problem, dotted
from heredity.trainables.command import Command
from heredity.trainables.command.template import shown
from heredity.trainables.function import as_trainable

T = TypeVar("T")


class Maker:
    """Makes the objects of one file.

    Args:
        data: the file, as TOML has it.
        folder: where the file is.
        wrong: what is known to be wrong with it; of that nothing is made.

    Attributes:
        problems: all that is wrong so far.
    """

    def __init__(self, data: Mapping[str, Any], folder: Folder, wrong: Iterable[Problem]) -> None:
        self.data = data
        self.folder = folder
        self.problems = list(wrong)

    def study(self) -> Study | None:
        """The study; None if there are problems."""
        self._require_one_trainable()
        words = {"command": "trainable"}
        names = dict.fromkeys([*self.data, "storage"])
        given = {words.get(name, name): self._made(name) for name in names if name != "executor"}
        return None if self.problems else self._try((), lambda: Study(**given))

    def executor(self) -> Any:
        """The executor; None where the file has none, or problems."""
        return self._made("executor") if "executor" in self.data else None

    def _made(self, name: str) -> Any:
        if name in _PIECEWISE:
            return _PIECEWISE[name](self, name)
        if self._is_wrong((name,)):
            return None
        return _WHOLE[name](self, name) if name in _WHOLE else self.data[name]

    # ------------------------------------------------------------------ by key

    def _name(self, name: str) -> Any:
        return self._try((name,), lambda: study_name(self.data[name]))

    def _storage(self, name: str) -> str:
        """A folder is relative to the file; ":memory:" and addresses are no folders."""
        storage: str = self.data.get(name, fields_of(Study)[name].default)
        return storage if storage == ":memory:" or "://" in storage else str(self.folder / storage)

    def _objective(self, name: str) -> list[Objective]:
        given = self.data[name]
        words = [text.split() for text in ([given] if isinstance(given, str) else given)]
        return [Objective(metric, direction) for direction, metric in words]  # type: ignore[arg-type]

    def _budget(self, name: str) -> Any:
        given = self.data[name] if isinstance(self.data[name], Mapping) else {}
        limits: Any = [
            self._try((name, key), functools.partial(LIMITS[key], given[key]))
            for key in LIMITS
            if key in given and not self._is_wrong((name, key))
        ]
        return None if self._is_wrong((name,)) else self._try((name,), lambda: as_budget(limits))

    def _space(self, name: str) -> Space | None:
        return self.space

    @functools.cached_property
    def space(self) -> Space | None:
        """The space; None if there are problems."""
        given = self.data.get("space")
        if not isinstance(given, Mapping):
            return None
        made = {name: self._parameter(table, ("space", name)) for name, table in given.items()}
        return None if self._is_wrong(("space",)) else self._try(("space",), lambda: Space(made))

    def _parameter(self, table: Any, path: Path) -> Any:
        """An hparam that could stand in a space under its name."""
        made = self._object(table, path)
        if made is not None:
            self._try(path, lambda: Space({str(path[-1]): made}))
        return made

    def _initial(self, name: str) -> Any:
        space, given = self.space, self.data[name]
        if space is not None and isinstance(given, list):
            for index, hparams in enumerate(given):
                if not self._is_wrong((name, index)):
                    self._try((name, index), functools.partial(space.check_partial, hparams))
        return given

    def _table(self, name: str) -> Any:
        return self._object(self.data[name], (name,))

    def _trainable(self, name: str) -> Any:
        found = self._try((name,), lambda: imported(self.data[name], self.folder))
        if found is not None and as_vector(found) is None:
            self._try((name,), lambda: as_trainable(found))
        return found

    def _command(self, name: str) -> Any:
        """The command, which runs in the file's folder, where that is, unless it says another."""
        given = dict(self.data[name])
        given["home"] = os.path.normpath(self.folder.resolve() / given.get("home", ""))
        return self._checked(self._try((name,), lambda: Command(**given)))

    def _checked(self, command: Command | None) -> Command | None:
        """The command, which must use every hparam and print the score."""
        space, objective = self.space, self._made("objective")
        if command is not None and space is not None and objective:
            self._try(("command",), lambda: command.check(space.names, objective[0].name))
        return command

    def _require_one_trainable(self) -> None:
        has = [name for name in ("trainable", "command") if name in self.data]
        if not has:
            text = 'a study file needs a [command], or trainable = "module:Class"'
            self.problems.append(Problem((), text))
        if len(has) > 1:
            text = "a study file has a [command] or a trainable, not both"
            self.problems.append(Problem(("trainable",), text))

    # ------------------------------------------------------------------ any object

    def _object(self, table: Any, path: Path) -> Any:
        """An object of the class that the table's `type` names; None if anything in it is wrong.
        Also then what it holds is made, to find all that is wrong."""
        given = table if isinstance(table, Mapping) else {}
        kind = given.get("type")
        cls: Any = KINDS.get(kind) if isinstance(kind, str) else None
        fields = {} if cls is None else fields_of(cls)
        values = {
            name: self._value(fields[name], value, (*path, name))
            for name, value in given.items()
            if name in fields
        }
        if cls is None or self._is_wrong(path):
            return None
        return self._try(path, lambda: cls(**values))

    def _value(self, field: Field, value: Any, path: Path) -> Any:
        if isinstance(value, Mapping) and value.get("type") in KINDS:
            return self._object(value, path)
        if field.nullable and value == NONE:
            return None
        return tuple(value) if isinstance(value, list) else value

    def _try(self, path: Path, make: Callable[[], T]) -> T | None:
        """What `make` returns; None, and a problem, if that is refused."""
        try:
            return make()
        except UsageError as error:
            owner = f"{dotted(path)}: " if len(path) > 1 else ""
            notes = getattr(error, "__notes__", ())
            text = "\n".join([f"{owner}{error}", *notes])
            self.problems.append(Problem(self._nearest(path, str(error)), text))
            return None

    def _nearest(self, path: Path, text: str) -> Path:
        """The key, of those at or below `path`, that a message is about: the first it names."""
        value: Any = self.data
        for part in path:
            value = value[part]
        words = re.findall(r"\w+", text)
        known = dict(_below(path, value))
        quoting = [
            key
            for key, inner in known.items()
            if isinstance(inner, str) and (repr(inner) in text or shown(inner) in text)
        ]
        named = sorted((key for key in known if key[-1] in words), key=lambda k: words.index(k[-1]))
        return next(iter([*quoting, *named]), path)

    def _is_wrong(self, path: Path) -> bool:
        """Whether something is wrong at or below a key."""
        return any(problem.path[: len(path)] == path for problem in self.problems)


def _below(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """A table's keys and their values, and those of the tables in it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*path, name), inner
            yield from _below((*path, name), inner)


_PIECEWISE: dict[str, Callable[[Maker, str], Any]] = {
    "space": Maker._space,
    "budget": Maker._budget,
    "algorithm": Maker._table,
    "executor": Maker._table,
    "initial": Maker._initial,
}
"""Of the keys of which parts are made, and so checked, also when others are wrong."""

_WHOLE: dict[str, Callable[[Maker, str], Any]] = {
    "name": Maker._name,
    "storage": Maker._storage,
    "objective": Maker._objective,
    "trainable": Maker._trainable,
    "command": Maker._command,
}
"""Of the other keys whose values are not what `Study` takes."""
