"""From the rounds to medians, ratios, a table and a chart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.contestants import OURS

LIMIT = "limit"
_TITLES = {"none": "without maps (`maps=none`)", "array": "with maps (`maps=array`)"}


def medians(rounds: Sequence[Any]) -> Any:
    """The same tree as each round's, with the median of the rounds at each leaf.

    A leaf that is None in some rounds (a percentile without an end) counts as the largest of all, and the
    median is None where it falls on such a one; of an even number it is the lower one, so that it was really
    measured.
    """
    first = rounds[0]
    if isinstance(first, dict):
        return {key: medians([one[key] for one in rounds]) for key in first}
    found = statistics.median_low([float("inf") if value is None else float(value) for value in rounds])
    return None if found == float("inf") else round(found, 4)


def ratios(figures: dict[str, Any], maps: str) -> dict[str, dict[str, float | None]]:
    """Of each server at the most connections: its share of the limit, and how much this service has over it.

    `ours_over_it` is this service's rate by the server's, so 2 says that this service answers twice as many;
    `p99_over_ours` is the server's p99 by this service's, `cpu_over_ours` likewise its processor time a
    request.
    """
    most = _most(figures)
    limit = figures[LIMIT][maps]["per_second"]
    loads = {name: server["maps"][maps]["closed"][most] for name, server in figures["servers"].items()}
    ours = loads[OURS]
    return {
        name: {
            "of_limit": load["per_second"] / limit,
            "ours_over_it": _ratio(ours["per_second"], load["per_second"]),
            "p99_over_ours": _ratio(load["p99_ms"], ours["p99_ms"]),
            "cpu_over_ours": _ratio(load["cpu_ms"], ours["cpu_ms"]),
        }
        for name, load in loads.items()
    }


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def markdown(figures: dict[str, Any]) -> str:
    """All tables, with what was not measured and which settings were kept."""
    parts = [_closed_table(figures, maps) for maps in _TITLES]
    parts += [_open_table(figures, maps) for maps in _TITLES]
    kept = [
        f"- {server['title']}: {server['setting']}"
        for server in figures["servers"].values()
        if server["setting"]
    ]
    if kept:
        parts.append("Settings that were tried and kept:\n\n" + "\n".join(kept))
    parts += [f"{title}: not measured: {reason}" for title, reason in figures["not_measured"].items()]
    return "\n\n".join(parts)


def _closed_table(figures: dict[str, Any], maps: str) -> str:
    most, servers = _most(figures), figures["servers"]
    counts = list(servers[OURS]["maps"][maps]["closed"])
    limit = figures[LIMIT][maps]
    head = [
        "server",
        *(f"answers/s, {count} conn." for count in counts),
        "of the limit",
        "this service has × as many",
        "p50 / p99 ms",
        "p50 ms, 1 conn.",
        "over bare ms",
        "CPU ms/answer",
        "memory MB",
        "errors",
    ]
    found = ratios(figures, maps)
    rows = []
    for name, server in servers.items():
        closed = server["maps"][maps]["closed"]
        last, one = closed[most], closed[counts[0]]
        rows.append(
            [
                server["title"],
                *(f"{closed[count]['per_second']:,.0f}" for count in counts),
                f"{found[name]['of_limit']:.0%}",
                _shown(found[name]["ours_over_it"], ".2f"),
                f"{_shown(last['p50_ms'], '.1f')} / {_shown(last['p99_ms'], '.1f')}",
                _shown(one["p50_ms"], ".2f"),
                _shown(None if one["p50_ms"] is None else one["p50_ms"] - limit["bare_ms"], ".2f"),
                _shown(last["cpu_ms"], ".2f"),
                f"{last['memory_mb']:.0f}",
                f"{sum(load['errors'] for load in closed.values()):.0f}",
            ]
        )
    sentence = (
        f"Closed loop, {_TITLES[maps]}; p50 / p99, ratios, CPU and memory at {most} connections. The limit "
        f"is {limit['per_second']:,.0f} pictures/s ({limit['way']}); bare decoding and predicting of one "
        f"picture takes {limit['bare_ms']:.2f} ms. – stands for latencies where requests were refused."
    )
    return f"{sentence}\n\n{_table(head, rows)}"


def _open_table(figures: dict[str, Any], maps: str) -> str:
    servers = figures["servers"]
    names = list(servers[OURS]["maps"][maps]["open"])
    head = ["server", *(f"{figures['rates'][maps][name]:,.0f}/s" for name in names)]
    rows = [
        [server["title"], *(_open_cell(server["maps"][maps]["open"][name]) for name in names)]
        for server in servers.values()
    ]
    sentence = (
        f"Open loop, {_TITLES[maps]}: p50 / p99 in ms, counted from the time at which a request was due, and "
        f"the share that was answered. The rates are {', '.join(names)} of what this service answered at "
        f"{_most(figures)} connections in its trial; – is a percentile that falls on a request without an "
        "answer."
    )
    return f"{sentence}\n\n{_table(head, rows)}"


def _open_cell(load: dict[str, Any]) -> str:
    return f"{_shown(load['p50_ms'], '.1f')} / {_shown(load['p99_ms'], '.1f')}, {load['answered_share']:.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _most(figures: dict[str, Any]) -> str:
    """The largest number of connections, as the key that it is."""
    return str(max(map(int, figures["servers"][OURS]["maps"]["none"]["closed"])))


def draw_chart(figures: dict[str, Any], path: Path) -> None:
    """Bars: each server's answers a second as a share of the limit, at the most connections."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # slow to import, and of no use before the end

    names = list(figures["servers"])
    titles = [figures["servers"][name]["title"] for name in names]
    figure, axes = plt.subplots(figsize=(8, 0.55 * len(names) + 1.4), layout="constrained")
    for maps, offset, colour in (("none", -0.2, "#d9730d"), ("array", 0.2, "#8a8f98")):
        found = ratios(figures, maps)
        bars = axes.barh(
            [place + offset for place in range(len(names))],
            [found[name]["of_limit"] or 0.0 for name in names],
            height=0.38,
            color=colour,
            label=_TITLES[maps].replace("`", ""),
        )
        per_second = [
            figures["servers"][name]["maps"][maps]["closed"][_most(figures)]["per_second"] for name in names
        ]
        axes.bar_label(bars, [f"{rate:,.0f}/s" for rate in per_second], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), titles)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.axvline(1, color="black", linewidth=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(f"answers a second at {_most(figures)} connections, as a share of the loop without HTTP")
    axes.legend(loc="lower right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
