"""How a workload reaches another process: by name where it can be imported there, else by value.

A class of a module that a fresh interpreter finds on the same search path goes as its name. What
was defined in the script itself, in a notebook or in a file that was loaded by its path goes by
value, through cloudpickle, together with the globals it uses. This file knows neither how bytes
travel nor who receives them.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from typing import Any

from heredity.errors import UsageError
from heredity.executors.base import Workload

LIMIT_BYTES = 32 << 20
"""What a workload may weigh: more is data, which each worker should load for itself."""


def pack(workload: Workload) -> bytes:
    """The workload as bytes. Raises `UsageError`, naming what is in the way, if that cannot be."""
    from heredity.executors import blame

    sink = _Sink(LIMIT_BYTES)
    try:
        dump(workload, sink)
    except _TooLarge:
        raise UsageError(blame.too_large(workload.trainable, LIMIT_BYTES)) from None
    except Exception as error:
        raise UsageError(blame.unpicklable(workload.trainable, error)) from None
    return sink.getvalue()


def unpack(payload: bytes) -> Workload:
    """The workload again, in a worker. Raises `UsageError` if its modules cannot be imported."""
    try:
        workload: Workload = pickle.loads(payload)
    except ImportError as error:
        raise UsageError(
            f"a worker cannot import what the trainable needs: {error}. Workers run "
            f"{sys.executable} with the search path and the working directory of the process that "
            "started them: install the module there, or import it inside the functions that use it"
        ) from error
    except Exception as error:
        raise UsageError(
            f"a worker cannot load the trainable: {type(error).__name__}: {error}. Importing its "
            "module must work in a fresh process and define it"
        ) from error
    return workload


class _TooLarge(Exception):
    pass


class _Sink(io.BytesIO):
    """Bytes up to a limit, so that refusing a huge object does not take the memory for it."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self._limit_bytes:
            raise _TooLarge
        return super().write(data)


def dump(thing: object, sink: Any) -> None:
    """Pickle `thing` into `sink`, a binary file, importable classes and functions as names."""
    from cloudpickle import Pickler, register_pickle_by_value, unregister_pickle_by_value

    class ByReach(Pickler):  # type: ignore[misc]
        """Sends by value what comes from modules that a fresh process would not find."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type | types.FunctionType):
                module = sys.modules.get(obj.__module__ or "")
                if module is not None and module.__name__ not in judged:
                    judged.add(module.__name__)
                    if not _reachable(module):
                        register_pickle_by_value(module)
                        hidden.append(module)
            return super().reducer_override(obj)

    judged: set[str] = {"__main__"}  # which cloudpickle sends by value of itself
    hidden: list[types.ModuleType] = []
    try:
        ByReach(sink, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    finally:
        for module in hidden:
            unregister_pickle_by_value(module)


def _reachable(module: types.ModuleType) -> bool:
    """Whether a fresh interpreter with this search path would find the very same module."""
    name = module.__name__
    package = sys.modules.get(name.rpartition(".")[0])
    path = getattr(package, "__path__", None)
    if package is not None and not _reachable(package):
        return False
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec.origin == getattr(module.__spec__, "origin", None)
    return False
