"""What a worker is called: the same name after each restart on its machine, and another than the
workers beside it, since a service gives a name its unfinished trials back."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from heredity.service.private import private_folder
from heredity.stores.database import Held
from heredity.stores.lockfile import hold


@contextmanager
def own_name(url: str, folder: Path | None = None) -> Iterator[str]:
    """host-0, or the next number that no other worker of `url` on this machine has now."""
    folder = folder or private_folder("heredity-workers")
    service = hashlib.sha256(url.encode()).hexdigest()[:12]
    with ExitStack() as held:
        for number in count():
            try:
                held.enter_context(hold(folder / f"{service}-{number}.lock"))
            except Held:
                continue
            break
        yield f"{_host()}-{number}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).strip(".-")[:80] or "worker"
