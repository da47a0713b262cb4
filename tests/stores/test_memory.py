"""The store in memory is a Store."""

import pytest

from heredity.stores.base import Lease
from heredity.stores.memory import MemoryStore
from heredity.testing.clock import FakeClock
from heredity.testing.store_suite import CREATED, StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_leases_end_by_the_stores_clock() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    store.create("s", [CREATED])
    store.lease("s", 0, 0, "w", 10.0)
    clock.advance(7.0)
    assert list(store.leases("s")) == [Lease(0, 0, "w", 3.0)]
    clock.advance(4.0)
    assert list(store.leases("s")) == [Lease(0, 0, "w", -1.0)]
    store.lease("s", 0, 0, "w", 10.0)
    assert list(store.leases("s")) == [Lease(0, 0, "w", 10.0)]
