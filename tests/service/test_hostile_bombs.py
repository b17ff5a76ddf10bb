"""What a hostile file costs: CPU time and peak memory of decoding it, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from service.settings import Settings
from tests.service import hostile

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60
# The largest picture that is allowed, decoded as what costs most, takes about 20 bytes a pixel.
MOST_MIB = 24 * Settings().max_pixels // 2**20
# A file that is refused, or shows a small picture, has no reason to take more than its own size over again.
FEW_MIB = 64

# Reads paths, and forks for each, so that every file meets a process that has decoded nothing before.
PROGRAM = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
from service.pictures.decode import ImageError, decode_picture
from models.pictures.letterbox import cut_frame, place_whole
from service.settings import Settings

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))

def measure(path):
    data = open(path, "rb").read()
    open("/proc/self/clear_refs", "w").write("5")  # the peak is now
    before, start = memory("VmRSS"), time.process_time()
    try:
        grey = decode_picture(data, Settings().max_pixels).grey
        cut_frame(grey, place_whole(*grey.shape[::-1], 100))
        said = ""
    except ImageError as error:
        said = str(error)
    return said, memory("VmHWM") - before, time.process_time() - start

measure(sys.argv[1])  # what is loaded once
for line in sys.stdin:
    if not (child := os.fork()):
        print(json.dumps(measure(line.strip())), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(json.dumps(["the process died", 0, 0]), flush=True)
"""


class Cost(NamedTuple):
    """What came of decoding: the refusal, or "" for a picture, and what it took."""

    said: str
    mebibytes: int
    seconds: float
    stderr: str


Measure = Callable[[bytes], Cost]


@pytest.fixture(scope="module")
def cost(tmp_path_factory) -> Iterator[Measure]:
    folder = tmp_path_factory.mktemp("hostile")
    first, file = folder / "scene.png", folder / "hostile"
    first.write_bytes(hostile.noise("PNG"))
    with (
        (folder / "stderr").open("w+") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(first)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        ask, answers = process.stdin, process.stdout
        assert ask is not None
        assert answers is not None

        def cost(data: bytes) -> Cost:
            file.write_bytes(data)
            stderr.truncate(0)
            print(file, file=ask, flush=True)
            answer = answers.readline()  # returns at the line or at the process's end
            stderr.seek(0)
            said, mebibytes, seconds = json.loads(answer or '["nothing", 0, 0]')
            return Cost(said, mebibytes, seconds, stderr.read())

        yield cost
        ask.close()
        assert process.wait(TIMEOUT_S) == 0


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc"
)

REFUSED = {
    "png of announced size": (lambda: hostile.png(15_000, 15_000), "25000000 pixels"),
    "png of a million chunks": (
        lambda: hostile.png(9, 9, hostile.chunk(b"abCd", b"") * 1_000_000),
        "small pieces",
    ),
    "gif of a million comments": (lambda: hostile.gif_of_comments(14), "small pieces"),
    "gif of announced size": (lambda: hostile.gif_announcing(65_535, 65_535, frame=False), "25000000 pixels"),
    "gif with a frame of announced size": (
        lambda: hostile.gif_announcing(65_535, 65_535, frame=True),
        "25000000 pixels",
    ),
    "webp of announced size": (lambda: hostile.webp_announcing(16_383, 16_383), "25000000 pixels"),
    "webp": (lambda: hostile.blank("WEBP", "RGB", (8000, 4000), method=0), "25000000 pixels"),
    "tiff, deflated": (
        lambda: hostile.blank("TIFF", size=(20_000, 9000), compression="tiff_adobe_deflate"),
        "pixels",
    ),
    "tiff, lzw": (lambda: hostile.blank("TIFF", size=(9000, 9000), compression="tiff_lzw"), "pixels"),
    "tiff with a tile larger than itself": (lambda: hostile.tiff_with_a_tile(60_000), "tiles"),
    "tiff with a tile that would fit into memory": (lambda: hostile.tiff_with_a_tile(16_000), "tiles"),
    "tiff of tags": (lambda: hostile.tiff_of_tags(60_000, 2**20), "image: "),
    "jpeg of scans": (lambda: hostile.jpeg_of_scans(4000, 3000), "16 scans"),
    "tiff of strips that paint it over and over": (
        lambda: hostile.tiff_painted_anew(3000, 30_000),
        "strips or tiles",
    ),
    "rows of one pixel": (lambda: hostile.png(1, 24_000_000), "100000 px"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bomb_is_refused_cheaply(cost, name):
    make, word = REFUSED[name]
    said, mebibytes, seconds, stderr = cost(make())
    assert "image: " in said
    assert word in said
    assert mebibytes <= FEW_MIB
    assert seconds < 2
    assert stderr == ""


ANSWERED = {
    "png with a profile": lambda: hostile.png(9, 9, hostile.chunk(b"iCCP", b"a\0\0" + hostile.inflating(64))),
    "png with a text": lambda: hostile.png(9, 9, hostile.chunk(b"zTXt", b"a\0\0" + hostile.inflating(64))),
    "png with a text of any language": lambda: hostile.png(
        9, 9, hostile.chunk(b"iTXt", b"a\0\1\0\0\0" + hostile.inflating(64))
    ),
    "png with XMP data": lambda: hostile.png(
        9, 9, hostile.chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + hostile.inflating(64))
    ),
    "png with many texts": lambda: hostile.png(
        9, 9, hostile.chunk(b"zTXt", b"a\0\0" + hostile.inflating(1)[:-20] + bytes(20)) * 900
    ),
    "jpeg of EXIF data that grow": lambda: hostile.jpeg_of_growing_exif(8 * 2**20, 9000),
    "exif of tags in a jpeg": lambda: hostile.jpeg_with_exif(hostile.exif_of_tags(5000, 4 * 2**20)),
    "exif of tags in a png": lambda: hostile.png(
        9, 9, hostile.chunk(b"eXIf", hostile.exif_of_tags(5000, 2**22))
    ),
    "a long text": lambda: hostile.png(9, 9, hostile.chunk(b"tEXt", b"a\0" + b"x" * 15 * 2**20)),
    "a jpeg of as many scans as may be": lambda: hostile.jpeg_of_scans(1000, 80),
    "a column": lambda: hostile.png(1, 100_000),
    "a row": lambda: hostile.png(100_000, 1),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_only_odd_is_answered_cheaply(cost, name):
    said, mebibytes, seconds, _ = cost(ANSWERED[name]())
    assert said == ""
    assert mebibytes <= FEW_MIB
    assert seconds < 1


LARGEST = {
    "png with transparency": lambda: hostile.png(6000, 4000, colour=6),
    "png of 16 bits": lambda: hostile.png(6000, 4000, colour=6, depth=16),
    "webp with transparency": lambda: hostile.blank("WEBP", "RGBA", lossless=True, method=0),
    "animated webp": lambda: hostile.webp_announcing(6000, 4000),
    "tiff of floating point": lambda: hostile.blank("TIFF", "F", compression="tiff_adobe_deflate"),
    "tiff of inks": lambda: hostile.blank("TIFF", "CMYK", compression="tiff_adobe_deflate"),
    "jpeg of twice as many pixels": lambda: hostile.blank("JPEG", "RGB", (8064, 6048)),
    "jpeg of twice as many pixels, progressive": lambda: hostile.blank(
        "JPEG", "RGB", (8064, 6048), progressive=True, subsampling=0
    ),
    "jpeg, progressive": lambda: hostile.blank("JPEG", "RGB", progressive=True),
    "gif": lambda: hostile.blank("GIF"),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_pictures_cost_what_their_pixels_say(cost, name):
    said, mebibytes, seconds, _ = cost(LARGEST[name]())
    assert said == ""
    assert 0 < mebibytes <= MOST_MIB
    assert seconds < 20
