"""Commands that delete: gc and rm."""

from __future__ import annotations

from typing import Annotated

import typer

from heredity.cli.output import print_json, say
from heredity.cli.studies import FOLDER, AsJson, Storage, StudyName, opened, the_study


def gc(study: StudyName = None, storage: Storage = FOLDER, as_json: AsJson = False) -> None:
    """Delete checkpoints that crashes left behind and no trial owns."""
    from heredity.live.words import size
    from heredity.tidy import collect

    name = the_study(study, storage)
    freed = collect(name, storage)
    if as_json:
        print_json({"study": name, "freed_bytes": freed})
    else:
        print(f"{name}: freed {size(freed)}")


def rm(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: Storage = FOLDER,
) -> None:
    """Remove a study whole: its log, checkpoints and output."""
    from heredity.live.words import plural, size
    from heredity.tidy import remove

    found = opened(study, storage)
    trials = plural(found.population.ended_count, "trial")
    what = f"{trials}, {size(found.population.bytes_kept)} of checkpoints"
    found.close()
    if not yes and not typer.confirm(f"Remove study {study!r} for good ({what})?"):
        say("nothing was removed")
        raise typer.Exit(1)
    remove(study, storage)
    say(f"removed study {study!r}")
