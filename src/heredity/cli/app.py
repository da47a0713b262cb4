"""The table of commands, and what becomes of errors: one message and an exit code."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from heredity.cli import reading, running, schedules, serving, steering, study_files, tidying
from heredity.cli.output import INTERRUPTED, say
from heredity.errors import HeredityError, TrainingError


class Commands(TyperGroup):
    """A group whose commands end in a message instead of a traceback for errors made on purpose."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HeredityError as error:
            if isinstance(error, TrainingError) and error.remote_traceback:
                say(error.remote_traceback.rstrip() + "\n")
            say("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say("stopped at once; run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None


class Plain(TyperCommand):
    """A command whose help shows its arguments as their `metavar` says, and cuts nothing short."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [p for p in self.params if isinstance(p, TyperArgument) and not p.hidden]
        return ["[OPTIONS]", *(p.metavar or str(p.name).upper() for p in arguments)]

    def get_short_help_str(self, limit: int = 0) -> str:
        return (self.help or "").partition("\n")[0]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Population Based Training: better models from the same compute, and the schedule that "
    "made them.",
)

for command in (
    running.demo,
    running.run,
    study_files.init,
    study_files.check,
    study_files.schema,
    reading.ls,
    reading.status,
    reading.doctor,
    reading.best,
    reading.trials,
    reading.logs,
    reading.schedule,
    reading.export,
    schedules.export_schedule,
    schedules.fit_schedule,
    steering.pause,
    steering.resume,
    steering.stop,
    steering.inject,
    steering.pin,
    steering.unpin,
    steering.bounds,
    serving.serve,
    serving.worker,
    tidying.gc,
    tidying.rm,
):
    app.command(cls=Plain)(command)


@app.callback(invoke_without_command=True)
def heredity(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    """What holds for every command."""
    if version:
        from heredity import __version__

        print(__version__)
        raise typer.Exit
