"""The files for Prometheus and Grafana: they ask only for what the service tells."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.monitoring.metrics import Metrics
from service.settings import Settings

DOCKER = Path(__file__).resolve().parents[2] / "docker"
GRAFANA = DOCKER / "grafana"
NAME = re.compile(r"\b(?:glimpse|process)_\w+")
LABEL = re.compile(r"(\w+)=~?\"")
# What Prometheus itself adds to each line.
ADDED_LABELS = {"instance", "job"}


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "glimpse.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Each metric of a service with one worker, and its labels."""
    import os

    metrics = Metrics()
    metrics.watch_queue(lambda: 0)
    metrics.watch_workers(lambda: [os.getpid()])
    metrics.request_begins()
    metrics.request_ends("/predict", "POST", 200, 0.001)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text("")[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found | {"glimpse_model_info": {"name", "version", "provider"}}


def read_yaml(*parts: str) -> Any:
    return yaml.safe_load(DOCKER.joinpath(*parts).read_text(encoding="utf-8"))


def expressions(board: dict[str, Any]) -> list[str]:
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return queries + [variable["definition"] for variable in board["templating"]["list"]]


def test_every_metric_and_label_of_the_dashboard_is_told(board, told):
    asked = expressions(board)
    assert len(asked) > 15
    for expression in asked:
        names = NAME.findall(expression)
        assert names, expression
        for name in names:
            assert name in told, expression
        labels = set(LABEL.findall(expression))
        labels |= {
            label for group in re.findall(r"by \(([\w, ]+)\)", expression) for label in group.split(", ")
        }
        assert labels <= ADDED_LABELS.union(*(told[name] for name in names)), expression
        assert expression.count("(") == expression.count(")")
        assert expression.count("{") == expression.count("}")


def test_the_legends_name_labels_that_their_lines_have(board, told):
    for panel in board["panels"]:
        for target in panel["targets"]:
            known = ADDED_LABELS.union(*(told[name] for name in NAME.findall(target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_everything_of_our_own_is_shown(board, told):
    """A metric that is new belongs on the dashboard; of a histogram, one of its series is enough."""
    ours = {re.sub("_(bucket|sum|count|total)$", "", name) for name in told if name.startswith("glimpse_")}
    shown = " ".join(expressions(board))
    unseen = {name for name in ours if not re.search(rf"\b{name}(_(bucket|sum|total))?\b", shown)}
    unseen -= {f"glimpse_worker_process_{rest}" for rest in ("virtual_memory_bytes", "start_time_seconds")}
    assert unseen == {"glimpse_worker_process_open_fds", "glimpse_worker_process_max_fds"}


def test_panels_lie_side_by_side_and_say_what_they_are(board):
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in board["panels"]), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y


def test_the_files_fit_together(board):
    (source,) = read_yaml("grafana", "provisioning", "datasources", "prometheus.yml")["datasources"]
    asked = [panel["datasource"] for panel in board["panels"]]
    asked += [target["datasource"] for panel in board["panels"] for target in panel["targets"]]
    assert {(each["type"], each["uid"]) for each in asked} == {(source["type"], source["uid"])}
    scraping = read_yaml("prometheus.yml")
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]
    (job,) = scraping["scrape_configs"]
    assert f'job="{job["job_name"]}"' in " ".join(expressions(board))
    assert job["static_configs"][0]["targets"] == [f"glimpse:{Settings.model_fields['port'].default}"]
    (provider,) = read_yaml("grafana", "provisioning", "dashboards", "glimpse.yml")["providers"]
    assert provider["type"] == "file"
