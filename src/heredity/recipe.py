"""How a study's trials are run by whoever has none of its objects: recorded with the study as JSON,
and turned into a workload where a worker is.

A recipe is a command, or `module:Class` (or `module:function`) that workers import; nothing is
pickled. This file knows neither stores nor services.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from heredity.describe import describe, rebuild
from heredity.errors import NotFound, UsageError
from heredity.evolution.budget import Finals
from heredity.settings import Settings
from heredity.trainables.function import as_trainable
from heredity.trainables.trainable import Trainable

WORKLOAD, SETTINGS = "workload", "settings"
"""Where they are among the facts that the study's first event holds of its code."""


def recipe_facts(source: Any, settings: Settings) -> dict[str, str]:
    """The facts that let a service run the study: its recipe, if it has one, and its settings."""
    facts = {SETTINGS: json.dumps(asdict(settings))}
    if (workload := described(source)) is not None:
        facts[WORKLOAD] = json.dumps(workload)
    return facts


def described(source: Any) -> Mapping[str, Any] | None:
    """The recipe of what a study was given to train; None for what has no name to import."""
    if is_dataclass(source) and type(source).__module__.startswith("heredity.trainables."):
        return {"described": describe(source)}
    name, module = getattr(source, "__qualname__", ""), getattr(source, "__module__", "")
    if not name or "<" in name or not module or module == "__main__":
        return None
    return {"import": f"{module}:{name}"}


def settings_of(code: Mapping[str, str]) -> Settings:
    """The settings that the study was made with; the defaults for one made without a word."""
    if SETTINGS not in code:
        return Settings()
    values = json.loads(code[SETTINGS])
    return Settings(**{**values, "finals": Finals(**values["finals"])})


def workload_of(study: str, code: Mapping[str, str]) -> Mapping[str, Any]:
    """The recipe in a study's facts. `UsageError` if there is none."""
    if WORKLOAD not in code:
        raise UsageError(
            f"nobody else can run the trials of study {study!r}: it was made with a class or "
            f"function that has no name to import. Put it in a module, or use hd.Command"
        )
    found: Mapping[str, Any] = json.loads(code[WORKLOAD])
    return found


def trainable_of(workload: Mapping[str, Any]) -> Callable[[], Trainable]:
    """What makes the trainable, on a worker, whose modules are imported here.

    Raises `UsageError` where that cannot be.
    """
    if "described" in workload:
        return as_trainable(rebuild(workload["described"]))
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return as_trainable(_imported(str(workload.get("import", ""))))


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotFound(
            f"this worker cannot import {name}, which the study trains: {error}. Start it where "
            f"that module is installed, or in its folder"
        ) from None
    return found
