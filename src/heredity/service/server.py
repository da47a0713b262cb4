"""The server: an address to listen on, and a life that ends on a signal, open requests first."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from heredity.errors import UsageError
from heredity.signals import SIGNALS

EVERYWHERE = ("0.0.0.0", "::", "")
"""Hosts that mean every address of this machine, by which nobody else can call it."""

GRACE_S = 5
"""What requests that are under way have left once the service is told to end."""


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens, and its address as a URL. `UsageError` where that cannot be."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        opened = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error}. Choose another with --port, or 0 for "
            f"one that is free"
        ) from None
    with opened:
        name = socket.gethostname() if host in EVERYWHERE else host
        name = f"[{name}]" if ":" in name else name
        yield opened, f"http://{name}:{opened.getsockname()[1]}"


def serve_until_told(application: FastAPI, opened: socket.socket) -> None:
    """Serve until SIGINT, SIGTERM or SIGUSR1, and let open requests end first."""
    server = server_of(application)
    # uvicorn hears of the first two itself, and raises them again when it has ended.
    before = {number: signal.signal(number, server.handle_exit) for number in SIGNALS}
    try:
        server.run(sockets=[opened])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_of(application: FastAPI) -> uvicorn.Server:
    """A server that writes errors to its log, and no request: addresses hold no secrets, but
    headers do."""
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
