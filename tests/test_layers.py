"""The pure layers reach for nothing outside: no files, clock, threads, processes or global luck.

import-linter holds the direction between the layers and keeps third parties out of the pure ones;
it cannot forbid single modules of the standard library, so this file does.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import heredity

ROOT = Path(heredity.__file__).parent
PURE = ["space", "evolution"]
IMPURE = {
    "asyncio",
    "concurrent",
    "datetime",
    "glob",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "queue",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
IMPURE_CALLS = {"exec", "eval", "input", "open", "print"}


def offences(source: str) -> Iterator[str]:
    """What `source` uses of the outside world, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"{node.lineno}: {name}()"
                continue
            case ast.Attribute(value=ast.Attribute(attr="random"), attr=name) if name.islower():
                yield f"{node.lineno}: numpy.random.{name} draws from global state"
                continue
            case _:
                continue
        for module in modules:
            if module.partition(".")[0] in IMPURE:
                yield f"{node.lineno}: import {module}"


def pure_files() -> list[Path]:
    return sorted(path for layer in PURE for path in (ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_layer_does_nothing_but_compute(path: Path) -> None:
    assert list(offences(path.read_text(encoding="utf-8"))) == []


def test_the_pure_layers_are_where_this_file_looks() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in pure_files()} == set(PURE)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import random",
        "def f():\n    import threading",
        "open('log')",
        "import numpy as np\nnp.random.seed(0)",
        "import numpy as np\nrng = np.random.default_rng()",
    ],
)
def test_an_offence_is_seen(source: str) -> None:
    assert len(list(offences(source))) == 1


def test_seeded_generators_are_pure() -> None:
    source = (
        "import numpy as np\nrng = np.random.Generator(np.random.Philox(np.random.SeedSequence(1)))"
    )
    assert list(offences(source)) == []
