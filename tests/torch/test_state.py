"""The file of a state: all comes back, others can read it, and nothing in it is ever run."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor
from tree_toys import identical, trees

from heredity.errors import TrainingError
from heredity.torch.plain import FORMAT_DTYPES
from heredity.torch.state import read_state, write_state

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_folder
@given(st.dictionaries(st.text(max_size=5), trees, max_size=4))
def test_any_state_comes_back_equal_and_with_its_types(
    tmp_path: Path, state: dict[str, Any]
) -> None:
    write_state(tmp_path / "state", state)
    assert identical(read_state(tmp_path / "state", "cpu"), state)


def every_dtype() -> dict[str, Tensor]:
    """One odd number of elements each, so that only their order can align them."""
    return {
        name: torch.arange(3).to(dtype) if dtype != torch.bool else torch.tensor([True])
        for dtype, name in FORMAT_DTYPES.items()
    }


def test_a_file_is_what_any_safetensors_reader_expects(tmp_path: Path) -> None:
    tensors = dict(reversed(every_dtype().items()))
    write_state(tmp_path / "state", {"parts": tensors, "scalar": torch.tensor(1.5)})
    with safe_open(tmp_path / "state", framework="pt") as file:
        assert file.get_tensor("scalar") == 1.5
        for name, tensor in tensors.items():
            assert torch.equal(
                file.get_tensor(f"parts.{name}").view(torch.uint8), tensor.view(torch.uint8)
            )


def test_what_was_read_is_ones_own_to_change(tmp_path: Path) -> None:
    write_state(tmp_path / "state", {"a": torch.ones(3), "b": torch.ones(3)})
    before = (tmp_path / "state").read_bytes()
    state = read_state(tmp_path / "state", "cpu")
    state["a"].mul_(7)
    assert torch.equal(state["b"], torch.ones(3))
    assert (tmp_path / "state").read_bytes() == before


def test_tensors_go_to_the_device(tmp_path: Path) -> None:
    write_state(tmp_path / "state", {"dense": torch.ones(3), "turned": torch.ones(2, 3).t()})
    read = read_state(tmp_path / "state", "meta")
    assert {tensor.device.type for tensor in read.values()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_come_from_a_gpu_and_go_back_to_it(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        **every_dtype(), "turned": torch.randn(2, 3).t(), "rare": torch.eye(2) * 1j
    }  # fmt: skip
    write_state(tmp_path / "state", {name: each.to("cuda") for name, each in state.items()})
    read = read_state(tmp_path / "state", "cuda:0")
    assert {str(tensor.device) for tensor in read.values()} == {"cuda:0"}
    assert identical({name: each.cpu() for name, each in read.items()}, state)


LARGE_MIB = 64

MEASURE = """
import sys, torch
from pathlib import Path
from heredity.torch.state import read_state, write_state

def peak_mib():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

path, mib = Path(sys.argv[1]), int(sys.argv[2])
tensors = [torch.ones(mib, 1 << 16) for _ in range(4)]  # 4 × 4 bytes × 2^16 × mib
write_state(path, {"warm": torch.ones(1)}); read_state(path, "cpu")
before = peak_mib()
write_state(path, {"tensors": tensors})
written = peak_mib()
del tensors
read_state(path, "cpu")
print(written - before, peak_mib() - written)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_state_is_never_held_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "state"), str(LARGE_MIB)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(float(more_mib) < LARGE_MIB / 4 for more_mib in done.stdout.split())


# Files that are not ours ---------------------------------------------------------------


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: str = "U8", shape: Any = (2,), offsets: Any = (0, 2)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def facts(state: Any, format: Any = 1) -> dict[str, Any]:
    return {"heredity": json.dumps({"format": format, "state": state})}


OURS = {"__metadata__": facts({"a": ["tensor", "a"]}), "a": entry()}


def test_the_damaged_files_below_are_damaged_versions_of_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(file_of(OURS, b"ab"))
    assert read_state(tmp_path / "state", "cpu")["a"].tolist() == [97, 98]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"abc",
        pickle.dumps({"a": 1}),
        file_of(OURS, b"a"),
        file_of(OURS, b"abc"),
        file_of(OURS, b"ab", length=2**62),
        file_of([], b""),
        file_of({"a": entry()}, b"ab"),
        file_of({**OURS, "__metadata__": {}}, b"ab"),
        file_of({**OURS, "__metadata__": facts({}, format=2)}, b"ab"),
        file_of({**OURS, "a": entry(dtype="PICKLE")}, b"ab"),
        file_of({**OURS, "a": entry(shape=[-1, -2])}, b"ab"),
        file_of({**OURS, "a": entry(shape=[2.0])}, b"ab"),
        file_of({**OURS, "a": entry(offsets=(1, 3))}, b"ab"),
        file_of({**OURS, "__metadata__": facts({"a": ["tensor", "b"]})}, b"ab"),
        file_of({**OURS, "__metadata__": facts({"a": ["system", "ls"]})}, b"ab"),
        file_of({**OURS, "__metadata__": facts({"a": ["numpy", "O", "00" * 8]})}, b"ab"),
    ],
)
def test_a_damaged_file_is_explained(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(TrainingError, match="is not a file of tensors and plain values"):
        read_state(tmp_path / "state", "cpu")


class Evil:
    def __reduce__(self) -> Any:
        return Path.mkdir, (Path("evil-was-here"),)


def test_a_pickle_within_a_file_of_ours_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), "evil")
    blob = Path("evil").read_bytes()
    header = {
        "__metadata__": facts({"a": ["torch", "a"]}),
        "a": entry(shape=[len(blob)], offsets=[0, len(blob)]),
    }
    Path("state").write_bytes(file_of(header, blob))
    with pytest.raises(TrainingError, match="because it could run code"):
        read_state(Path("state"), "cpu")
    assert not Path("evil-was-here").exists()


def test_nothing_is_written_of_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="`mine` cannot be saved"):
        write_state(tmp_path / "state", {"mine": Evil()})
    assert not list(tmp_path.iterdir())


@same_folder
@given(st.data())
@example(None)
def test_cutting_a_file_anywhere_is_noticed(tmp_path: Path, data: Any) -> None:
    write_state(tmp_path / "state", {"a": OrderedDict(b=torch.arange(4)), "c": (1, None)})
    content = (tmp_path / "state").read_bytes()
    at = data.draw(st.integers(0, len(content) - 1)) if data else len(content) - 1
    (tmp_path / "state").write_bytes(content[:at])
    with pytest.raises(TrainingError, match="is not a file of tensors"):
        read_state(tmp_path / "state", "cpu")
