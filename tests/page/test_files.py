"""The page's files, without a browser: small, plain, strictly served."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.inference.engine import engine_in_process
from service.page.files import PAGE_FOLDER
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor

LARGEST_PAGE_BYTES = 100_000
FILES = sorted(PAGE_FOLDER.iterdir())
PAGE = (PAGE_FOLDER / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_app(engine_in_process(BlobPredictor()), Settings(), BarGenerator()))


def test_the_page_weighs_less_than_100_kb() -> None:
    assert sum(path.stat().st_size for path in FILES) < LARGEST_PAGE_BYTES


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", *(f"/page/{path.name}" for path in FILES)])
def test_every_file_is_served_strictly(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert not [rule for rule in policy if "unsafe" in rule or "http" in rule or "*" in rule]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert int(response.headers["content-length"]) > 0
    assert (response.content == b"") == (method == "HEAD")
    again = client.request(method, path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_all_that_the_files_name_is_there(client: TestClient) -> None:
    named = set(re.findall(r'(?:src|href)="(page/[^"]+)"', PAGE + client.get("/docs").text))
    assert {"page/main.js", "page/theme.css", "page/icon.svg"} <= named
    for script in PAGE_FOLDER.glob("*.js"):
        named |= {f"page/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text("utf-8"))}
    assert {name: client.get(f"/{name}").status_code for name in named} == dict.fromkeys(named, 200)
    assert named | {"page/index.html"} == {f"page/{path.name}" for path in FILES}, "a file that nothing uses"


def test_scripts_ask_for_ids_that_the_page_has() -> None:
    ids = re.findall(r'\bid="([\w-]+)"', PAGE)
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for script in PAGE_FOLDER.glob("*.js")
        for name in re.findall(r'\bat\("([\w-]+)"\)', script.read_text("utf-8"))
    }
    assert wanted
    assert wanted <= set(ids)


def test_nothing_is_inline_and_no_other_host_is_named() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", PAGE) == []
    for path in FILES:
        hosts = set(re.findall(r"https?://[\w.-]+", path.read_text("utf-8")))
        assert hosts <= {"http://www.w3.org"}, path.name  # the name of SVG's namespace, which nobody fetches
