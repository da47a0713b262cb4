"""Where a study comes from: its code, and its definition before.

Facts about code are recorded and never compared; definitions are compared.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heredity.errors import DefinitionMismatch
from heredity.evolution.definition import Definition
from heredity.executors.program import as_vector
from heredity.stores.address import shown
from heredity.trainables.command import Command

PACKAGES = ("heredity", "numpy", "torch", "jax", "flax", "optax", "scikit-learn")
"""Packages whose versions are recorded when they are imported, or always for the first two."""


def code_facts(source: Any) -> dict[str, str]:
    """What is known of the code: name, a command's words, hash of the file, git, versions."""
    facts = {"trainable": getattr(source, "__qualname__", type(source).__name__)}
    if isinstance(source, Command):
        facts["command"] = json.dumps(source.as_json())
    facts["python"] = platform.python_version()
    for package in PACKAGES:
        if package in ("heredity", "numpy") or package.replace("-", "_") in sys.modules:
            facts |= _version(package)
    file = _file(_written(source))
    if file is not None:
        facts["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        facts |= _revision(file.parent)
    return facts


def compare(name: str, stored: Definition, given: Definition, storage: str | Path = "runs") -> None:
    """Raise `DefinitionMismatch` listing what differs, if anything does."""
    differences = dict(_differences("", stored.as_json(), given.as_json()))
    if not differences:
        return
    listed = "\n".join(f"  {field}: was {a}, now {b}" for field, (a, b) in differences.items())
    where = "" if str(storage) == "runs" else f" --storage {shlex.quote(shown(storage))}"
    raise DefinitionMismatch(
        f"study {name!r} exists with another definition:\n{listed}\nGive the new study another "
        f"name, put the definition back, or remove the old one with `heredity rm {name}{where}`.",
        differences,
    )


def _differences(path: str, a: Any, b: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    if a == b:
        return
    a, b = _named(a), _named(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            where = f"{path}.{key}" if path else str(key)
            yield from _differences(where, a.get(key, "(not there)"), b.get(key, "(not there)"))
    else:
        yield path, (_shown(a), _shown(b))


def _named(value: Any) -> Any:
    """A described space as a mapping of its hparams, so that differences name them."""
    if isinstance(value, Mapping) and "items" in value:
        return dict(value["items"])
    return value


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "type" in value:
        fields = ", ".join(f"{k}={_shown(v)}" for k, v in value.items() if k != "type")
        return f"{str(value['type']).rpartition(':')[2]}({fields})"
    return str(value)


def _version(package: str) -> dict[str, str]:
    try:
        return {package: importlib.metadata.version(package)}
    except importlib.metadata.PackageNotFoundError:
        return {}


def _written(source: Any) -> Any:
    """What the user wrote: of a vector trainable, which is only put together, the step."""
    if as_vector(source) is not None:
        source = getattr(source, "step", source)
    while isinstance(source, functools.partial):
        source = source.func
    return source


def _file(source: Any) -> Path | None:
    try:
        file = inspect.getsourcefile(inspect.unwrap(source))
    except (TypeError, OSError):  # built in; or typed at a prompt
        return None
    return Path(file) if file and Path(file).is_file() else None


def _revision(folder: Path) -> dict[str, str]:
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git": done.stdout.strip()}
