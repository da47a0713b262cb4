"""The command line: `heredity`. Commands read arguments, ask the library, and print.

Whatever a command does not need is imported by none: reading a study brings in no framework.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from heredity.cli.app import app

    app()
