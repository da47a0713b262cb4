"""A schedule as text for other programs: JSON, CSV, a table by step, and code that runs.

Everything says what `Schedule.at` says, step by step; smoothing is done before, by `smoothed`. It
knows neither studies nor files, and imports no framework: the code does, where it is run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from heredity.analysis.course import course
from heredity.analysis.schedule import Schedule
from heredity.analysis.schedule_code import optax_code, torch_code
from heredity.errors import UsageError, did_you_mean
from heredity.space import Space


def exported(schedule: Schedule, form: str) -> str:
    """The schedule as text in one of these forms:

    - `"json"`: `Schedule.as_dicts`.
    - `"csv"`: the same, one row a segment, hparams as columns `hparams.…`.
    - `"table"`: tab-separated, a row for each step at which anything changes (see `table`).
    - `"torch"`: a Python file with `lr_scheduler`, a `LambdaLR` for an hparam `lr`, and
      `set_hparams`, which assigns the other hparams of an optimizer's groups.
    - `"optax"`: a Python file with `schedules`, each made by `optax.join_schedules`, by name of
      the hparams that are numbers.

    Both Python files have `hparams(step)` too, plain Python, for categories and everything else.
    During a ramp they give its end, as `Schedule.at` does. Raises `UsageError` for another form,
    and for a schedule without segments.
    """
    if form not in FORMS:
        known = ", ".join(FORMS)
        raise UsageError(
            f"a schedule is exported as one of {known}, not {form!r}.{did_you_mean(form, FORMS)}"
        )
    if not len(schedule):
        raise UsageError("a schedule without segments cannot be exported")
    return FORMS[form](schedule)


def smoothed(schedule: Schedule, space: Space, window_steps: float) -> Schedule:
    """The schedule with each value replaced by the mean over so many steps around it, in at most
    100 segments of equal length.

    A moving average, taken where a parameter lives: of learning rates on a log scale. Integers and
    ordered choices round; of categories the one that holds for most of the steps counts. Near the
    ends the window is cut. `space` is the one that the hparams were drawn from.
    """
    if not window_steps > 0:
        raise UsageError(f"a schedule is smoothed over 1 step or more, not {window_steps!r}")
    return course([schedule], space, window=window_steps).schedule()


def table(schedule: Schedule, every: int | None = None) -> str:
    """Tab-separated: a column `step`, and one an hparam, with all digits.

    A row for each step at which anything changes, to hold until the next one; or for each multiple
    of `every`, within the schedule.
    """
    if every is not None and every < 1:
        raise UsageError(f"a table has a row every 1 step or more, not every {every!r}")
    names = list(schedule.segments[0].hparams)
    rows = _grid(schedule, every) if every else _starts(schedule)
    lines = ([step, *(hparams[name] for name in names)] for step, hparams in rows)
    return _separated(["step", *names], lines, delimiter="\t")


def _starts(schedule: Schedule) -> Iterator[tuple[int, Mapping[str, Any]]]:
    before = None
    for segment in schedule:
        if segment.hparams != before:
            yield segment.start, segment.hparams
        before = segment.hparams


def _grid(schedule: Schedule, every: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for segment in schedule:
        first = segment.start + -segment.start % every
        for step in range(first, segment.stop, every):
            yield step, segment.hparams


def _json(schedule: Schedule) -> str:
    return json.dumps(schedule.as_dicts(), indent=2, ensure_ascii=False) + "\n"


def _csv(schedule: Schedule) -> str:
    rows = [_flat(row) for row in schedule.as_dicts()]
    titles = dict.fromkeys(title for row in rows for title in row)
    return _separated(list(titles), ([row.get(title) for title in titles] for row in rows))


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    for key in ("hparams", "ramp_from"):
        row |= {f"{key}.{name}": value for name, value in row.pop(key, {}).items()}
    return row


def _separated(titles: list[str], rows: Iterable[list[Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return text.getvalue()


FORMS: Mapping[str, Callable[[Schedule], str]] = {
    "json": _json,
    "csv": _csv,
    "table": table,
    "torch": torch_code,
    "optax": optax_code,
}
