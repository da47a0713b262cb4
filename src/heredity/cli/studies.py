"""Which study a command is about: the one named, or the only one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from heredity.errors import NotFound, UsageError

if TYPE_CHECKING:
    from heredity.result import Result

Storage = Annotated[
    str,
    typer.Option(
        "--storage", help="The folder that holds the studies, or postgresql://user@host/database."
    ),
]
StudyName = Annotated[
    str | None, typer.Argument(metavar="[STUDY]", help="May be left out if there is only one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FOLDER = "runs"


def names(storage: str) -> list[str]:
    """All studies of a storage, oldest first. `NotFound` where there is none."""
    from heredity.stores import open_store

    store = open_store(storage, read_only=True)
    try:
        return list(store.studies())
    finally:
        store.close()


def the_study(name: str | None, storage: str) -> str:
    """The name given, or that of the only study."""
    if name is not None:
        return name
    from heredity.stores import shown

    known = names(storage)
    if not known:
        raise NotFound(f"there are no studies in {shown(storage)!r} yet; `heredity demo` makes one")
    if len(known) > 1:
        listed = ", ".join(known)
        raise UsageError(f"there are several studies in {shown(storage)!r}: name one of {listed}")
    return known[0]


def opened(name: str | None, storage: str) -> Result:
    """What the study found so far."""
    from heredity.study import open as open_study

    return open_study(the_study(name, storage), storage)
