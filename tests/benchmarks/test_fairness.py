"""How others fare beside one that asks for much: what is posted, what is compared, and a short run."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image

from benchmarks.serving import fairness


def test_the_photograph_is_a_jpeg_of_12_megapixels() -> None:
    data = fairness.photograph()
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (4032, 3024))
    assert 100_000 < len(data) < 2_000_000


def test_a_batch_holds_the_picture_thirty_times() -> None:
    post = fairness.batch_of(b"picture")
    assert post.body.count(b"picture\r\n") == 30
    assert post.body.endswith(b"--batch--\r\n")
    assert post.headers["Content-Type"] == "multipart/form-data; boundary=batch"


def test_the_slow_tail_is_compared() -> None:
    before, beside = [0.1] * 99 + [9.0], [0.1] * 90 + [0.3] * 10
    found = fairness._compared(before, beside)
    assert found == {"count": 100, "p95_before_ms": 100.0, "p95_beside_ms": 300.0, "times": 3.0}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed; the benchmark says so itself")
def test_a_short_run_answers_every_picture() -> None:
    figures = fairness.measure(photographs=2, scenes=5)
    assert set(figures["in_batches"]) == {"answered"}
    assert figures["photographs"]["p95_before_ms"] > 0
    assert figures["scenes"]["times"] > 0
    table = fairness.markdown_table(figures)
    assert len(table.splitlines()) == 4
