"""How user code reaches workers, and what is said when it cannot."""

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from heredity.errors import UsageError
from heredity.executors.base import Workload
from heredity.executors.shipping import LIMIT_BYTES, pack, unpack
from heredity.testing.obedient import Obedient

Load = Callable[[str], Any]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Runs source as a module that the search path does not lead to."""
    names = []

    def load(source: str, name: str = "loaded_by_path") -> Any:
        path = tmp_path / f"{name}.py"
        path.write_text("from heredity.testing.obedient import Obedient\n" + source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        names.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        del sys.modules[name]


def refusal(workload: Workload, trainable: Any) -> str:
    with pytest.raises(UsageError) as caught:
        pack(replace(workload, trainable=trainable))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value)


def in_fresh_process(packed: bytes, expression: str) -> str:
    """What `expression` says of the `workload` in a process that has imported nothing yet."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from heredity.executors.shipping import unpack\n"
        "workload = unpack(sys.stdin.buffer.read())\n"
        f"print({expression})"
    )
    done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


# By name, by value ----------------------------------------------------------------------------


def test_an_importable_class_goes_as_its_name(workload: Workload) -> None:
    packed = pack(workload)
    assert len(packed) < 1000
    assert unpack(packed) == workload
    assert in_fresh_process(packed, "'cloudpickle' in sys.modules") == "False"


def test_a_class_that_was_loaded_by_path_goes_by_value(workload: Workload, load: Load) -> None:
    module = load(
        "FACTOR = 3\n"
        "def scaled(x): return FACTOR * x\n"
        "class Digits(Obedient):\n"
        "    def evaluate(self): return scaled(2)\n"
    )
    packed = pack(replace(workload, trainable=module.Digits))
    assert in_fresh_process(packed, "workload.trainable().evaluate()") == "6"


def test_a_module_that_something_else_would_be_imported_for_goes_by_value(
    workload: Workload, load: Load
) -> None:
    """A script may bear the name of a module that the search path finds first."""
    module = load("class Digits(Obedient):\n    marker = 'mine'\n", name="colorsys")
    packed = pack(replace(workload, trainable=module.Digits))
    assert in_fresh_process(packed, "workload.trainable.marker") == "mine"


def test_sending_by_value_leaves_no_trace_for_the_next(workload: Workload, load: Load) -> None:
    import cloudpickle

    module = load("class Digits(Obedient):\n    pass\n")
    pack(replace(workload, trainable=module.Digits))
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_a_closure_goes_by_value(workload: Workload) -> None:
    marker = "mine"

    class Local(Obedient):
        def evaluate(self) -> Any:
            return marker

    packed = pack(replace(workload, trainable=Local))
    assert in_fresh_process(packed, "workload.trainable().evaluate()") == "mine"


SCRIPT = """
from pathlib import Path
import sys
from heredity.checkpoints.local import LocalCheckpoints
from heredity.executors.base import Completed, Workload
from heredity.executors.processes import Processes
from heredity.testing.executor_suite import ends, task
from heredity.testing.obedient import Obedient

print("running")

class Digits(Obedient):
    def prepare(self):
        super().prepare()
        assert sys.argv[2:] == ["an argument"], sys.argv

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    executor = Processes(2)
    executor.open(Workload(Digits, LocalCheckpoints(folder / "c"), None, "score", ("act",)))
    for number in range(2):
        executor.submit(task("count", id=number))
    for report in ends(executor, 2):
        print(report.metrics["score"])
    executor.close()
"""


def test_a_script_runs_once_however_many_workers(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", tmp_path, "an argument"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["running", "10.0", "10.0"], done.stderr


# Refusals -------------------------------------------------------------------------------------


def test_a_large_global_is_named_with_its_size(workload: Workload, load: Load) -> None:
    module = load(
        f"DATA = bytes({100 << 20})\n"
        "SMALL = bytes(1000)\n"
        "def batch(): return DATA[0], SMALL[0]\n"
        "class Digits(Obedient):\n"
        "    def train(self, steps): batch()\n"
    )
    message = refusal(workload, module.Digits)
    assert message.startswith("`Digits` carries more than 32 MB")
    assert "the global `DATA` (bytes, 100 MB)" in message
    assert "prepare()" in message


def test_the_largest_of_many_is_named(workload: Workload, load: Load) -> None:
    module = load(
        "TABLES = [bytes(n << 20) for n in range(12)]\n"
        "def make(a, b):\n"
        "    class Digits(Obedient):\n"
        "        def train(self, steps): return a, b, helper, Digits\n"
        "    return Digits\n"
        "def helper(): return Digits\n"
        "Digits = make(bytes(15 << 20), bytes(18 << 20))\n"
    )
    assert "the captured variable `b` (bytes, 18 MB)" in refusal(workload, module.Digits)


def test_what_just_fits_is_sent(workload: Workload, load: Load) -> None:
    module = load(f"class Digits(Obedient):\n    data = bytes({LIMIT_BYTES - 10_000})\n")
    assert len(pack(replace(workload, trainable=module.Digits))) <= LIMIT_BYTES


@pytest.mark.parametrize(
    ("source", "named", "reason"),
    [
        (
            "import threading\nLOCK = threading.Lock()\n"
            "class Digits(Obedient):\n    def train(self, steps): LOCK.acquire()\n",
            "the global `LOCK` (lock)",
            "cannot pickle '_thread.lock' object",
        ),
        (
            "class Digits(Obedient):\n    source = (line for line in [])\n",
            "the attribute `Digits.source` (generator)",
            "cannot pickle 'generator' object",
        ),
        (
            "import io\nclass Base(Obedient):\n    log = io.BufferedWriter(io.BytesIO())\n"
            "class Digits(Base):\n    pass\n",
            "the attribute `Base.log` (BufferedWriter)",
            "cannot pickle '_io.BufferedWriter' object",
        ),
        (
            "def make():\n"
            "    stream = (line for line in [])\n"
            "    class Digits(Obedient):\n"
            "        def train(self, steps):\n"
            "            return [next(stream) for _ in range(steps)]\n"
            "    return Digits\n"
            "Digits = make()\n",
            "the captured variable `stream` (generator)",
            "cannot pickle 'generator' object",
        ),
    ],
    ids=["global", "attribute", "inherited", "captured"],
)
def test_what_cannot_be_sent_is_named(
    workload: Workload, load: Load, source: str, named: str, reason: str
) -> None:
    message = refusal(workload, load(source).Digits)
    assert named in message
    assert reason in message
    assert "prepare()" in message


def test_an_argument_that_cannot_be_sent_is_named(workload: Workload) -> None:
    message = refusal(workload, partial(Obedient, lock=threading.Lock()))
    assert "the argument `lock` (lock)" in message


def test_an_attribute_of_an_object_that_cannot_be_sent_is_named(workload: Workload) -> None:
    class Factory:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __call__(self) -> Obedient:
            return Obedient()

    assert "the attribute `Factory.lock` (lock)" in refusal(workload, Factory())


def test_a_class_that_refers_to_itself_is_no_riddle(workload: Workload, load: Load) -> None:
    module = load(
        "import threading\nLOCK = threading.Lock()\n"
        "class Digits(Obedient):\n"
        "    def train(self, steps): return Digits, helper\n"
        "def helper(): return Digits, LOCK\n"
    )
    assert "the global `LOCK` (lock)" in refusal(workload, module.Digits)


def test_a_module_that_is_gone_is_named(workload: Workload, load: Load) -> None:
    packed = pack(workload).replace(b"heredity.testing.obedient", b"heredity.testing.obedienx")
    with pytest.raises(UsageError, match=r"cannot import .*heredity\.testing\.obedienx"):
        unpack(packed)
