"""The store in memory is a Store."""

import pytest

from heredity.stores.memory import MemoryStore
from heredity.testing.store_suite import StoreSuite


class TestMemoryStore(StoreSuite):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
