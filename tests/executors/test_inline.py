"""Trials in this very process."""

import pytest

from heredity.executors.base import Workload
from heredity.executors.inline import Inline
from heredity.testing.executor_suite import ExecutorSuite, run, task


class TestInline(ExecutorSuite):
    @pytest.fixture
    def executor(self) -> Inline:
        return Inline()


def test_output_passes_through(workload: Workload, capfd: pytest.CaptureFixture[str]) -> None:
    inline = Inline()
    inline.open(workload)
    run(inline, task("write:hello"))
    assert capfd.readouterr().out.splitlines() == ["hello", "echo hello"]
    inline.close()
