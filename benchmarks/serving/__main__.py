"""`python -m benchmarks.serving`: who answers how many pictures a second on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.answers import AnswerError, Said
from benchmarks.serving.closed_loop import NO_WRK, find_wrk
from benchmarks.serving.contestants import CONTESTANTS, OURS, Contestant, Variant
from benchmarks.serving.environments import make_environment
from benchmarks.serving.limit import Way, all_ways, bare_ms, pictures_per_second, usable_cores
from benchmarks.serving.measure import MAPS, QUICK, Place, Schedule, best_variant, reference, trial, visit
from benchmarks.serving.pictures import make_pictures
from benchmarks.serving.report import LIMIT, draw_chart, markdown, medians
from benchmarks.serving.running import ServerError
from benchmarks.serving.standstill import StandstillWatch

COMMAND = "python -m benchmarks.serving"
VISITS = 3
"""How often a server is visited in one round at most: again where it failed, or the machine stood still."""


class Competition:
    """All that one run has found so far."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.pngs = make_pictures()
        self.not_measured: dict[str, str] = {}
        self.tried: dict[str, dict[str, float]] = {}
        self.places: list[Place] = []
        self.visits: dict[str, list[dict[str, Any]]] = {}
        self.rates: dict[str, dict[str, float]] = {}
        self.ways: dict[str, Way] = {}
        self.limits: list[dict[str, dict[str, float]]] = []
        self.standstills_s: list[float] = []

    def enter(self, contestants: Sequence[Contestant]) -> None:
        """Install, check and tune; this service comes first, since the others are held to its answers."""
        expected: dict[str, list[Said]] = {}
        for contestant in contestants:
            say(f"{contestant.title}: environment, answers, settings")
            try:
                python = Path(sys.executable)
                if contestant.requirements is not None:
                    python = make_environment(contestant.name, contestant.requirements)
                if contestant.name == OURS:
                    expected = reference(Place(contestant, python, None), self.pngs)
                self._try_settings(contestant, python, expected)
            except (RuntimeError, AnswerError) as error:
                self._give_up(contestant, error)

    def _try_settings(self, contestant: Contestant, python: Path, expected: dict[str, list[Said]]) -> None:
        trials: dict[Variant | None, Any] = {}
        failure: Exception | None = None
        # A trial of this command takes each peer as its guide would have it first.
        for variant in contestant.variants[: self.schedule.most_variants]:
            try:
                found = trial(Place(contestant, python, variant), self.pngs, expected, self.schedule)
            except RuntimeError as error:  # another setting may do
                failure = error
                say(f"  {variant}: {error}")
                continue
            trials[variant] = found
            rates = ", ".join(
                f"{found[maps].per_second:,.0f}/s ({found[maps].errors} errors)" for maps in MAPS
            )
            say(f"  {variant or 'as shipped'}: {rates}")
        if not trials:
            raise failure or ServerError("no setting was given")
        best = best_variant(trials)
        self.places.append(Place(contestant, python, best))
        self.visits[contestant.name] = []
        self.tried[contestant.name] = {
            str(variant): round(found["none"].per_second, 1)
            for variant, found in trials.items()
            if variant is not None
        }
        if contestant.name == OURS:
            self.rates = {
                maps: {
                    f"{share} %": round(trials[best][maps].per_second * share / 100, 1)
                    for share in self.schedule.shares_percent
                }
                for maps in MAPS
            }

    def seek_limit(self, folder: Path) -> None:
        """Which way of sharing the work is the fastest without any server."""
        seconds = min(1.0, self.schedule.seconds)
        for maps in MAPS:
            found = {
                way: pictures_per_second(folder, way, maps=maps == "array", seconds=seconds)
                for way in all_ways(usable_cores(), self.schedule.batches)
            }
            self.ways[maps] = max(found, key=lambda way: found[way])
            say(f"the limit, maps={maps}: {max(found.values()):,.0f}/s with {self.ways[maps]}")

    def run_round(self, number: int, folder: Path) -> None:
        """Visit all, beginning with another one each time."""
        shift = number * len(self.places) // self.schedule.rounds
        for place in self.places[shift:] + self.places[:shift]:
            say(f"round {number + 1} of {self.schedule.rounds}: {place.contestant.title}")
            try:
                found = self._visit(place)
            except RuntimeError as error:  # of the server, or of wrk, which cannot reach it
                self._give_up(place.contestant, error)
                self.places = [other for other in self.places if other is not place]
                continue
            self.visits[place.contestant.name].append(found)
        seconds = self.schedule.seconds
        self.limits.append(
            {
                maps: {
                    "per_second": pictures_per_second(
                        folder, self.ways[maps], maps=maps == "array", seconds=seconds
                    ),
                    "bare_ms": bare_ms(folder, maps=maps == "array", seconds=min(1.0, seconds)),
                }
                for maps in MAPS
            }
        )

    def _visit(self, place: Place) -> dict[str, Any]:
        """A visit; another one where it fails or the machine stands still meanwhile. The last one counts.

        Raises:
            RuntimeError: the last one has failed.
        """
        attempt = 1
        while True:
            try:
                with StandstillWatch() as watch:
                    found = visit(place, self.pngs, self.rates, self.schedule)
            except RuntimeError as error:
                if attempt == VISITS:
                    raise
                say(f"  visit {attempt} of at most {VISITS} failed: {error}")
            else:
                self.standstills_s += watch.gaps_s
                if not watch.gaps_s or attempt == VISITS:
                    return found
                say(f"  the machine stood still for {watch.gaps_s} s in visit {attempt} of at most {VISITS}")
            attempt += 1

    def figures(self) -> dict[str, Any]:
        """The result file's content."""
        limit = medians(self.limits)
        for maps in MAPS:
            limit[maps]["way"] = str(self.ways[maps])
        most = str(self.schedule.connections[-1])
        return {
            "schedule": self.schedule._asdict(),
            "cores": usable_cores(),
            LIMIT: limit,
            "rates": self.rates,
            "servers": {
                place.contestant.name: {
                    "title": place.contestant.title,
                    "setting": "" if place.variant is None else str(place.variant),
                    "tried_per_second": self.tried[place.contestant.name],
                    "maps": medians(self.visits[place.contestant.name]),
                    "per_second_of_each_round": {
                        maps: [
                            round(found[maps]["closed"][most]["per_second"], 1)
                            for found in self.visits[place.contestant.name]
                        ]
                        for maps in MAPS
                    },
                }
                for place in self.places
            },
            "not_measured": self.not_measured,
            "standstills_s": self.standstills_s,
        }

    def _give_up(self, contestant: Contestant, error: Exception) -> None:
        if contestant.name == OURS:
            raise SystemExit(f"error: this service itself could not be measured: {error}") from error
        self.not_measured[contestant.title] = str(error)
        say(f"{contestant.title}: not measured: {error}")


def say(text: str) -> None:
    """Progress, on stderr; the tables alone go to stdout."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    names = [contestant.name for contestant in CONTESTANTS]
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short trial, which writes no result")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, help="some servers; this service always"
    )
    parser.add_argument("--rounds", type=int, default=None, help="how often each server is visited")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure all, print the tables; after a whole run write result, chart and the document's table."""
    options = parse()
    if find_wrk() is None:
        raise SystemExit(f"error: {NO_WRK}")
    # So that the servers end with this command however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    schedule = QUICK if options.quick else Schedule()
    if options.rounds is not None:
        schedule = schedule._replace(rounds=options.rounds)
    load, began = os.getloadavg()[0], time.monotonic()
    competition = Competition(schedule)
    competition.enter([one for one in CONTESTANTS if one.name == OURS or one.name in options.only])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, png in enumerate(competition.pngs):
            (folder / f"{number:02}.png").write_bytes(png)
        competition.seek_limit(folder)
        for number in range(schedule.rounds):
            competition.run_round(number, folder)
    figures = competition.figures() | {
        "load_average_before": round(load, 2),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    text = markdown(figures)
    print(text)
    if options.quick or len(options.only) < len(CONTESTANTS):
        say("a trial: no result is written")
        return
    _write(figures, text)


def _write(figures: dict[str, Any], text: str) -> None:
    # Torch comes with these, for the versions alone: not while servers are measured.
    from benchmarks.documents import fill_in  # noqa: PLC0415
    from benchmarks.results import FOLDER, write_result  # noqa: PLC0415

    path = write_result("serving", COMMAND, figures, threads=usable_cores())
    draw_chart(figures, FOLDER / "serving.png")
    fill_in("serving", f"{text}\n\n![Answers a second as a share of the limit](results/serving.png)")
    say(f"wrote {path}")


if __name__ == "__main__":
    main()
