"""What a worker process imports before it knows its workload; the rest is in test_processes."""

import json
import subprocess
import sys

HEAVY = {
    "cloudpickle", "jax", "pandas", "pydantic", "rich", "scipy", "sklearn", "sqlalchemy", "torch",
    "typer",
}  # fmt: skip


def test_a_worker_imports_nothing_heavy_of_its_own() -> None:
    code = "import heredity.executors.worker_main, json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert HEAVY & set(json.loads(done.stdout)) == set()
