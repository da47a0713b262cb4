"""Between a client and a PostgreSQL server, to break their connection where it hurts most."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Moment = Literal["before", "after"]


class CuttingProxy:
    """Passes on what both sides say. Told to `cut`, it breaks the connection at the next COMMIT:
    before the server hears of it, or after it has obeyed, so that nobody hears its answer.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cuts: list[tuple[Moment, Callable[[], None]]] = []
        self.port: int = self._listener.getsockname()[1]

    def cut(self, moment: Moment, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Once more; `meanwhile` happens after the cut, before the client can come back."""
        self._cuts.append((moment, meanwhile))

    @property
    def done(self) -> bool:
        """Whether every cut has been made."""
        return not self._cuts

    def serve(self) -> None:
        """One client after the other, until `close`."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                with client, server, suppress(OSError):
                    self._pass_on(client, server)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for source, sink in [(client, server), (server, client)]:
                if source not in ready:
                    continue
                said = source.recv(1 << 20)
                if not said:
                    return
                if source is client and b"COMMIT" in said and self._cuts:
                    self._break(said, server)
                    return
                sink.sendall(said)

    def _break(self, said: bytes, server: socket.socket) -> None:
        moment, meanwhile = self._cuts.pop(0)
        if moment == "after":
            server.sendall(said)
            assert server.recv(1 << 20)
        server.close()
        meanwhile()


@contextmanager
def cutting_proxy(server_port: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(server_port)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
