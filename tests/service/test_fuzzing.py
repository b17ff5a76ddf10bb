from __future__ import annotations

from tests.service.fuzzing import count


def scenario(phase: str, label: str, **cases: tuple[str, str, int, str]) -> dict[str, object]:
    """An event of schemathesis with cases of method, path, status and what a check said."""
    return {
        "ScenarioFinished": {
            "phase": phase,
            "recorder": {
                "label": label,
                "cases": {
                    name: {"value": {"method": method, "path": path}}
                    for name, (method, path, _, _) in cases.items()
                },
                "interactions": {
                    name: {"response": {"status_code": status}} for name, (_, _, status, _) in cases.items()
                },
                "checks": {
                    name: [{"name": "not_a_server_error", "status": said}]
                    for name, (_, _, _, said) in cases.items()
                },
            },
        }
    }


def test_cases_checks_and_failures_are_counted():
    counts = count(
        [
            {"EngineStarted": {}},
            scenario(
                "coverage", "GET /a", one=("GET", "/a", 200, "success"), two=("PUT", "/a", 405, "success")
            ),
            scenario("stateful", "Stateful tests", three=("GET", "/a", 500, "failure")),
            {"ScenarioFinished": {"phase": "examples", "recorder": {"label": "GET /b"}}},
        ]
    )
    assert counts.cases == {"coverage": 2, "stateful": 1}
    assert counts.statuses == {"GET /a": {"200": 1, "500": 1}, "methods that a path has not": {"405": 1}}
    assert counts.checks["GET /a"] == {"not_a_server_error": 2}
    assert counts.failures == ["GET /a: not_a_server_error"]


def test_a_case_without_an_answer_is_counted_as_such():
    event = scenario("fuzzing", "GET /a", one=("GET", "/a", 200, "success"))
    event["ScenarioFinished"]["recorder"]["interactions"] = {}  # type: ignore[index]
    assert count([event]).statuses == {"GET /a": {"none": 1}}
