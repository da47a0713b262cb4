"""Commands for many machines: serve and worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heredity.cli.output import say
from heredity.cli.studies import FOLDER
from heredity.errors import MissingExtra, UsageError, did_you_mean

if TYPE_CHECKING:
    from heredity.service.hosting import Checkpoints

TOKEN = "HEREDITY_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"A file that holds the token; else it is taken from {TOKEN}."),
]
Token = Annotated[
    str | None, typer.Option(help=f"The token itself; better from {TOKEN} or a file.")
]


def serve(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Studies to begin: study.toml or study.py."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="The folder or database that holds the studies.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; any but this machine's needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8765,
    token: Token = None,
    token_file: TokenFile = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where checkpoints and logs lie; beside the storage.")
    ] = None,
    lease: Annotated[
        float, typer.Option(min=1.0, help="Seconds after which a silent worker is given up.")
    ] = 60.0,
) -> None:
    """Hand out the trials of studies to workers on any machine, over HTTP."""
    _require_extra("heredity serve", "fastapi", "uvicorn")
    _hide(token)
    secret = _secret(token, token_file)
    if secret is None and host not in LOOPBACK:
        raise UsageError(
            f"anybody who reaches {host} could run this service's studies: set {TOKEN} to a secret "
            f"(for example of `openssl rand -hex 32`), here and for the workers"
        )
    where = _begun(files or (), storage)
    if where == ":memory:":
        raise UsageError(
            "a service needs a storage that outlives it, and ':memory:' ends with it: give "
            "--storage a folder, or postgresql://user@host/database"
        )
    from heredity.service.app import app
    from heredity.service.server import listening, serve_until_told

    with listening(host, port) as (socket, url):
        application = app(where, secret, folder=folder, lease_s=lease)
        say(f"serving {where} at {url}\nworkers: heredity worker {url}\nreference: {url}/docs")
        serve_until_told(application, socket)


def worker(
    url: Annotated[str, typer.Argument(metavar="URL", help="The service: http://host:8765.")],
    study: Annotated[
        str | None, typer.Option(help="The study to work on; by default one after another.")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; by default one a GPU, else a core.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Keep it over restarts; by default the host's name.")
    ] = None,
    checkpoints: Annotated[
        str, typer.Option(help="auto, shared (a folder that both see), or sent (over HTTP).")
    ] = "auto",
    folder: Annotated[
        Path | None, typer.Option(help="For this worker's own files; by default temporary.")
    ] = None,
    token: Token = None,
    token_file: TokenFile = None,
    patience: Annotated[
        float, typer.Option(min=0.0, help="Seconds to go on while the service is away.")
    ] = 600.0,
) -> None:
    """Run trials for a service until its study ends."""
    _require_extra("heredity worker", "httpx")
    _hide(token)
    secret = _secret(token, token_file)
    from heredity.service.hosting import Worker

    Worker(
        url.rstrip("/"),
        secret,
        slots=slots,
        name=_worker_name(name),
        checkpoints=_way(checkpoints),
        folder=folder,
        patience_s=patience,
        say=say,
    ).run(study)


def _begun(files: Sequence[str], storage: str | None) -> str:
    """Enter the studies of `files` in `storage`, or in the one that they agree on; which it is."""
    from heredity.cli.running import found

    studies = [found(file)[0] for file in files]
    for study in studies:
        study.storage = storage or study.storage
    places = {str(study.storage) for study in studies} or {storage or FOLDER}
    if len(places) > 1:
        raise UsageError(
            f"one service serves one storage, and these studies name several: "
            f"{', '.join(sorted(places))}. Say which: --storage"
        )
    for study in studies:
        study.begin()
    return places.pop()


def _require_extra(purpose: str, *packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtra("service", f"`{purpose}`", package)


def _worker_name(name: str | None) -> str | None:
    import re

    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}", name):
        raise UsageError(f"a worker's name is letters, digits and '._:@-'; got {name!r}")
    return name


def _way(checkpoints: str) -> Checkpoints:
    from heredity.service.hosting import CHECKPOINTS

    for way in CHECKPOINTS:
        if way == checkpoints:
            return way
    raise UsageError(
        f"--checkpoints {checkpoints!r} is none there is.{did_you_mean(checkpoints, CHECKPOINTS)}"
    )


# Secrets -----------------------------------------------------------------------------------


def _secret(token: str | None, file: Path | None) -> str | None:
    """The token, taken out of the environment, so that nothing started from here inherits it."""
    from_environment = os.environ.pop(TOKEN, "").strip()
    if file is not None:
        try:
            from_environment = file.read_text().strip()
        except OSError as error:
            raise UsageError(f"the token cannot be read: {error.strerror} ({file})") from None
        if not from_environment:
            raise UsageError(f"{file} holds no token")
    secret = (token or from_environment).strip()
    if not secret.isascii():
        raise UsageError("a token is made of ASCII characters")
    return secret or None


def _hide(token: str | None) -> None:
    """Start again with the token in the environment: arguments can be read by everybody."""
    if token is None:
        return
    kept = [sys.executable]
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument == "--token":
            next(arguments, None)
        elif not argument.startswith("--token="):
            kept.append(argument)
    os.environ[TOKEN] = token
    os.execv(sys.executable, kept)
