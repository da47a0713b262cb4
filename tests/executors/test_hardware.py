"""What the machine offers, and how workers share it."""

import os
import stat
from pathlib import Path

import pytest

from heredity.executors import hardware


def test_cores_are_those_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert hardware.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4.0),
        ({}, None),
    ],
)
def test_a_container_may_grant_less(
    tmp_path: Path, files: dict[str, str], share: float | None
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert hardware.container_share(tmp_path) == share


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [("0,1", ("0", "1")), ("3", ("3",)), (" GPU-8f, GPU-91 ", ("GPU-8f", "GPU-91"))],
)
def test_gpus_are_those_the_environment_shows(visible: str, gpus: tuple[str, ...]) -> None:
    assert hardware.gpus({"CUDA_VISIBLE_DEVICES": visible}) == gpus


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_none(hidden: str) -> None:
    assert hardware.gpus({"CUDA_VISIBLE_DEVICES": hidden}) == ()


def test_gpus_are_counted_by_the_drivers_own_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        "echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n"
        "echo '  MIG 1g.5gb Device 0: (UUID: MIG-1)'\n"
        "echo 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n"
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus({}) == ("0", "1")


def test_without_the_tool_there_are_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpus({}) == ()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*hardware.THREADS, "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware, "cores", lambda: 8)
    return monkeypatch


@pytest.mark.parametrize(("workers", "threads"), [(2, "4"), (3, "2"), (8, "1"), (20, "1")])
@pytest.mark.usefixtures("clean")
def test_workers_share_the_cores(workers: int, threads: str) -> None:
    assert hardware.share(0, workers, None, ()) == dict.fromkeys(hardware.THREADS, threads)


def test_what_the_environment_says_holds_unless_threads_are_given(
    clean: pytest.MonkeyPatch,
) -> None:
    clean.setenv("OMP_NUM_THREADS", "5")
    assert "OMP_NUM_THREADS" not in hardware.share(0, 2, None, ())
    assert hardware.share(0, 2, 3, ())["OMP_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("clean")
def test_workers_take_gpus_in_turn_and_divide_the_memory_of_a_shared_one() -> None:
    shares = [hardware.share(index, 4, None, ("4", "7")) for index in range(4)]
    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares] == ["4", "7", "4", "7"]
    assert shares[0]["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.375"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in hardware.share(0, 2, None, ("4", "7"))
