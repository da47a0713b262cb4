"""The picture of a study: a headline, a bar, the tally, and a row for each member.

Text of a given width and height. What does not fit is left out and said to be, the least important
first. Colours only repeat what the words say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from heredity.live.facts import Facts, Row
from heredity.live.words import duration, number, short, size

STYLES = {
    "training": "green",
    "measuring": "cyan",
    "waiting": "dim",
    "done": "dim",
    "diverged": "yellow",
    "failed": "red",
}

ORIGINS = ("member {}, trial {}", "{}, trial {}", "{}, t{}")
"""Where weights come from, in falling length."""


def picture(facts: Facts, left_s: float | None, width: int, height: int, *, fancy: bool) -> Text:
    """The whole picture, at most `height` lines of `width` cells.

    Args:
        left_s: seconds left, if known.
        fancy: the terminal shows characters beyond ASCII.
    """
    above = [headline(facts, left_s, width), bar(facts, width, fancy), *tallies(facts, width)]
    below = _remarks(facts, width)
    space = max(1, height - len(above) - len(below) - 3)
    rows = facts.rows(space if facts.population.lanes <= space else space - 1)
    table = table_of(rows, width, fancy)
    hidden = facts.population.lanes - len(rows)
    if hidden > 0:
        table.append(Text(_cut(f"  and {hidden:,} more members", width), "dim"))
    lines = [*above, Text(), *table, *below]
    return Text("\n").join(lines[:height])


def headline(facts: Facts, left_s: float | None, width: int) -> Text:
    """The study's name and status at the left, how far it is at the right."""
    p = facts.population
    status = "measuring the finalists again" if _in_finals(facts) else str(p.status)
    status = f"{status} {facts.by}".rstrip()
    status = f"{status}: {p.reason}" if p.reason else status
    right = facts.progress.text
    if left_s is not None and p.status == "running" and not _in_finals(facts):
        right += f", {duration(left_s)} left"
    room = max(0, width - cell_len(facts.name) - 2 - cell_len(right) - 2)
    line = Text(facts.name, "bold")
    line.append("  " + set_cell_size(_cut(status, room), room) + "  " if room else "  ", "not bold")
    line.append(right, "not bold")
    return _fit(line, width)


def _in_finals(facts: Facts) -> bool:
    return facts.population.status == "running" and facts.progress.fraction == 1.0


def bar(facts: Facts, width: int, fancy: bool) -> Text:
    """A bar over the whole width; with no end known, a line."""
    full, empty = ("━", "─") if fancy else ("#", "-")
    part = facts.progress.fraction
    percent = "  …  " if part is None else f" {part:4.0%}"
    cells = max(0, width - len(percent))
    done = int((part or 0.0) * cells)
    line = Text(full * done, "green")
    line.append(empty * (cells - done), "dim")
    return _fit(line.append(percent), width)


def tallies(facts: Facts, width: int) -> list[Text]:
    """Scores and counts, on as many lines as they need."""
    p = facts.population
    best = "" if facts.best is None else f" (member {facts.best_member}, trial {facts.best})"
    items = [
        ("best", number(facts.best_score) + best),
        ("median", number(facts.median_score)),
        ("exploits", f"{p.exploits:,}"),
        ("diverged", f"{p.diverged:,}"),
        ("failed", f"{p.failures:,}"),
        ("disk", size(p.bytes_kept)),
    ]
    lines = [Text()]
    for word, value in items:
        item = Text(f"{word} ", "dim")
        item.append(value, "bold not dim" if word == "best" else "not dim")
        gap = "   " if lines[-1] else ""
        if lines[-1].cell_len + len(gap) + item.cell_len > width and lines[-1]:
            lines.append(item)
        else:
            lines[-1].append(gap).append_text(item)
    return [_fit(line, width) for line in lines]


def _remarks(facts: Facts, width: int) -> list[Text]:
    """That nobody runs it, and the last failure while nothing has finished since."""
    remarks = []
    if facts.abandoned:
        text = "nobody is at work on it: start its command again, or a worker of its service"
        remarks.append(Text(_cut(text, width), "yellow"))
    if failures := facts.population.failures_in_a_row:
        text = f"trial {failures[-1].trial} failed: {failures[-1].error.splitlines()[0]}"
        remarks.append(Text(_cut(text, width), "red"))
    return remarks


# ---------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Column:
    """A title and a cell for each row, all to be of one width."""

    title: str
    cells: Sequence[str]
    left: bool = False

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in (self.title, *self.cells))

    def padded(self, text: str) -> str:
        """The text as wide as the column."""
        blank = " " * (self.width - cell_len(text))
        return text + blank if self.left else blank + text


def table_of(rows: Sequence[Row], width: int, fancy: bool) -> list[Text]:
    """A line of titles and a line for each row."""
    columns = _columns(rows, width, fancy)
    title = "  ".join(column.padded(column.title) for column in columns)
    lines = [_fit(Text(title.rstrip(), "dim"), width)]
    for i, row in enumerate(rows):
        line = Text(style="bold" if row.best else "")
        for column in columns:
            style = STYLES.get(column.cells[i], "") if column.title == "state" else ""
            line.append(column.padded(column.cells[i]) + "  ", style)
        line.rstrip()
        lines.append(_fit(line, width))
    return lines


def _columns(rows: Sequence[Row], width: int, fancy: bool) -> list[Column]:
    """The columns that fit; one in place of hparams that had no room says how many they are."""
    for origin, longest in ((0, 40), (1, 40), (1, 12), (2, 12), (2, 9), (2, 6)):
        before, after = _fixed(rows, origin, fancy)
        hparams = _hparams(rows, longest)
        if _width([*before, *hparams, *after]) <= width:
            return [*before, *hparams, *after]
    if not hparams:
        return [*before, *after]
    for kept in range(len(hparams) - 1, 0, -1):
        columns = [*before, *hparams[:kept], _rest(hparams[kept:], fancy), *after]
        if _width(columns) <= width:
            return columns
    return [*before, _rest(hparams, fancy), *after]


def _rest(hparams: Sequence[Column], fancy: bool) -> Column:
    """A column in place of those that have no room."""
    return Column(f"+{len(hparams)}", ["…" if fancy else ".." for _ in hparams[0].cells])


def _fixed(rows: Sequence[Row], origin: int, fancy: bool) -> tuple[list[Column], list[Column]]:
    star = "★" if fancy else "*"
    member = [f"{star if row.best else ' '} {row.member:>3}" for row in rows]
    before = [
        Column("member" if origin < 2 else "mem", member),
        Column("score", [number(row.score) for row in rows]),
        Column("steps", [f"{row.steps:,}" for row in rows]),
    ]
    title = "weights from" if origin < 2 else "from"
    after = [
        Column(title, [_origin(row, ORIGINS[origin]) for row in rows], left=True),
        Column("state", [row.state for row in rows], left=True),
    ]
    return before, after


def _origin(row: Row, form: str) -> str:
    if row.weights_from is None:
        return "scratch" if row.hparams else ""
    member, trial = row.weights_from
    return "own" if member == row.member else form.format(member, trial)


def _hparams(rows: Sequence[Row], longest: int) -> list[Column]:
    names = next((row.hparams for row in rows if row.hparams), ())
    columns = []
    for name in names:
        cells = [short(row.hparams[name]) if row.hparams else "" for row in rows]
        room = max(longest, *map(cell_len, cells))
        columns.append(Column(_cut(name, room), cells))
    return columns


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""


def _fit(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line
