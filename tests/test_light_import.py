"""`import heredity` and the first names a user writes pull in nothing heavy."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "cloudpickle",
    "fastapi",
    "jax",
    "optax",
    "pandas",
    "pydantic",
    "ray",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
    "typer",
}

FIRST_LINES = """
import heredity as hd
hd.Study
hd.Space(lr=hd.LogUniform(1e-4, 1))
"""


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after running `code`."""
    report = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("code", ["import heredity", FIRST_LINES], ids=["import", "first lines"])
def test_nothing_heavy_is_imported_uninvited(code: str) -> None:
    assert modules_after(code) & HEAVY == set()


def test_the_probe_sees_a_heavy_import() -> None:
    assert "sqlalchemy" in modules_after("import sqlalchemy.engine")


def test_every_public_name_resolves() -> None:
    """Lazy binding hides a misspelt target until somebody asks for the name."""
    modules_after("import heredity as hd\nfor name in hd.__all__: getattr(hd, name)")
