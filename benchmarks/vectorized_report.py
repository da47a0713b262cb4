"""Tables and chart of the vectorized benchmark, from its figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from population import STATE_BYTES, Figures
from report import table

RATIOS = (
    ("heredity, JAX", "JAX by hand"),
    ("heredity, JAX", "JAX by hand, no take-overs"),
    ("heredity, JAX", "heredity, `hd.Processes"),
    ("heredity, JAX", "Ray Tune PBT"),
    ("heredity, PyTorch", "torch.func by hand"),
    ("heredity, PyTorch", "heredity, `hd.Processes"),
    ("heredity, PyTorch", "Ray Tune PBT"),
)
"""Who is compared with whom, by what the names begin with."""


@dataclass(frozen=True)
class Measured:
    """One contestant's figures in one round of turns."""

    name: str
    members: int
    run: int
    figures: Figures

    def rate(self, interval: int) -> float:
        """Member-steps per second."""
        return self.figures.rounds * self.members * interval / self.figures.seconds


Cell = Callable[[Sequence[Measured]], str]


def tables(found: Sequence[Measured], interval: int) -> str:
    """All tables, one column for each size of population."""

    def rate(mine: Sequence[Measured]) -> str:
        return f"{statistics.median(one.rate(interval) for one in mine):,.0f}"

    parts = [
        ("Member-steps per second", _by_name(found, rate)),
        ("Ratios", _ratios(found, interval)),
        ("Host work between rounds, ms a round and share of the time", _by_name(found, _idle)),
        ("Memory at its peak, in states of the whole population", _by_name(found, _memory)),
        ("Seconds to the first scores, compilation included", _by_name(found, _first)),
    ]
    sizes = [f"P = {size:,}" for size in _sizes(found)]
    return "\n\n".join(table([title, *sizes], rows) for title, rows in parts if rows)


def _sizes(found: Sequence[Measured]) -> list[int]:
    return sorted({one.members for one in found})


def _by_name(found: Sequence[Measured], cell: Cell) -> list[list[str]]:
    """A row for each contestant, but those that nothing is known of."""
    rows = []
    for name in dict.fromkeys(one.name for one in found):
        mine = [one for one in found if one.name == name]
        cells = [
            cell(some) if (some := [one for one in mine if one.members == size]) else ""
            for size in _sizes(found)
        ]
        if any(cells):
            rows.append([name, *cells])
    return rows


def _ratios(found: Sequence[Measured], interval: int) -> list[list[str]]:
    """Medians of the ratios of each round of turns."""
    rows = []
    for ours, theirs in RATIOS:
        cells = [_ratio(found, ours, theirs, size, interval) for size in _sizes(found)]
        if any(cells):
            rows.append([f"{ours} / {theirs.replace('`hd.P', 'p')}", *cells])
    return rows


def _ratio(found: Sequence[Measured], ours: str, theirs: str, size: int, interval: int) -> str:
    rates: list[dict[int, float]] = []
    for name in (ours, theirs):
        exact = any(one.name == name for one in found)
        mine = [one for one in found if one.members == size]
        mine = [o for o in mine if (o.name == name if exact else o.name.startswith(name))]
        rates.append({one.run: one.rate(interval) for one in mine})
    ratios = [rates[0][run] / rates[1][run] for run in rates[0] if run in rates[1]]
    if not ratios:
        return ""
    ratio = statistics.median(ratios)
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _idle(mine: Sequence[Measured]) -> str:
    known = [(f.idle_s, f) for one in mine if (f := one.figures).idle_s is not None]
    if not known:
        return ""
    each = statistics.median(1e3 * idle_s / f.rounds for idle_s, f in known)
    share = statistics.median(idle_s / f.seconds for idle_s, f in known)
    return f"{each:.1f} ({share:.1%})"


def _memory(mine: Sequence[Measured]) -> str:
    known = [f.peak_bytes for one in mine if (f := one.figures).peak_bytes is not None]
    return f"{statistics.median(known) / STATE_BYTES / mine[0].members:.1f}" if known else ""


def _first(mine: Sequence[Measured]) -> str:
    seconds = statistics.median(one.figures.first_round_s for one in mine)
    return f"{seconds:.1f}" if seconds else ""


def draw(found: Sequence[Measured], interval: int, title: str, path: Path) -> None:
    """The rates as a chart, if matplotlib is there."""
    try:
        import matplotlib
    except ImportError:
        print("no chart is drawn: it needs matplotlib")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.ticker import ScalarFormatter

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    for name in dict.fromkeys(one.name for one in found):
        mine = [one for one in found if one.name == name]
        sizes = _sizes(mine)
        rates = [
            statistics.median(one.rate(interval) for one in mine if one.members == size)
            for size in sizes
        ]
        thick, label = 2.5 if name.startswith("heredity") else 1.2, name.replace("`", "")
        axes.plot(sizes, rates, marker="o", markersize=4, linewidth=thick, label=label)
    axes.set(xscale="log", yscale="log", xlabel="population", ylabel="member-steps per second")
    axes.set_xticks(_sizes(found))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    axes.set_title(title, fontsize="medium", loc="left")
    figure.savefig(path)
    print(f"drew {path}")
