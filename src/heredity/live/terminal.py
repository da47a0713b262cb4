"""The screen of a terminal: one picture, drawn over and over, that stays when the study ends."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

from heredity.live.facts import Facts
from heredity.live.lines import not_verified
from heredity.live.picture import picture


class Terminal:
    """Draws on standard error with rich, which heeds NO_COLOR."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, transient=False
        )

    def open(self, name: str, doing: str) -> None:
        """Say that the study is getting ready."""
        self._show(Text.assemble((name, "bold"), f"  {doing}"))

    def draw(self, facts: Facts, left_s: float | None) -> None:
        """Replace the picture."""
        self._show(self._picture(facts, left_s))

    def close(self, facts: Facts | None, unverified: tuple[str, ...]) -> None:
        """Leave the last picture on the screen; nothing, if the study never began."""
        if facts is None:
            self._live.transient = True
        else:
            self.draw(facts, None)
        self._live.stop()
        if facts is not None and (remark := not_verified(facts, unverified)):
            self._console.print(Text(remark))

    def _show(self, text: Text) -> None:
        self._live.start()
        self._live.update(text, refresh=True)

    def _picture(self, facts: Facts, left_s: float | None) -> Text:
        width, height = self._console.size
        return picture(facts, left_s, width, height - 1, fancy=self._console.encoding == "utf-8")
