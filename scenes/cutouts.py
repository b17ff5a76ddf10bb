"""Makes pictures of ten kinds of things on photographs, a folder for each kind, with their true boxes.

The things are the stamps of Tux Paint (Debian's tuxpaint-stamps-default, GPL-2), the photographs are Debian's
wallpapers. Both packages are downloaded and unpacked, not installed; nothing of them is committed. Things and
photographs of `test` are others than those of `train`. Up to two other things lie beside, which belong to no
class.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

PACKAGES = (
    "tuxpaint-stamps-default",
    "gnome-backgrounds",
    "mate-backgrounds",
    "ukui-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
)
KINDS = {
    "bird": ("animals/birds",),
    "flower": ("plants/flowers",),
    "fruit": ("food/fruit",),
    "house": ("town/houses",),
    "insect": ("animals/insects",),
    "mammal": ("animals/mammals",),
    "money": ("symbols/money",),
    "roadsign": ("town/roadsigns",),
    "tool": ("household/tools", "household/dishes"),
    "vehicle": ("vehicles",),
}
BESIDE = ("seasonal", "hobbies", "clothes", "sports", "symbols/music", "symbols/chess", "food/vegetables")
SIDE_PX = 192
_UNSEEN = 5
"""One thing and one photograph in five are kept for the test."""
_SMALLEST, _LARGEST = 0.25, 0.65
"""The thing's longer side, in sides of the picture."""
_BESIDE_SMALLEST, _BESIDE_LARGEST = 0.1, 0.25
_OPAQUE = 128

Random = np.random.Generator


class _Boxed(NamedTuple):
    """A picture and the tight box of its thing: x, y, width, height in px."""

    picture: Image.Image
    box: tuple[int, int, int, int]


def download_packages(folder: Path) -> None:
    """Download Debian's packages and unpack them into a folder.

    Raises:
        ValueError: this is no Debian, or its mirrors cannot be reached.
    """
    with tempfile.TemporaryDirectory() as packages:
        try:
            command = ["apt-get", "download", *PACKAGES]
            subprocess.run(command, cwd=packages, check=True, stderr=subprocess.DEVNULL)
            for package in sorted(Path(packages).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(
                f"cutouts: expected apt-get to download {', '.join(PACKAGES)}, got {error}; "
                "--packages names a folder that they are unpacked in"
            ) from error


def _things_of(root: Path, kinds: Sequence[str], *, unseen: bool) -> list[Path]:
    """The stamps of these kinds, either those of the test or the others; mirrored copies are left out."""
    stamps = root / "usr/share/tuxpaint/stamps"
    found = [path for kind in kinds for path in (stamps / kind).rglob("*.png") if "_mirror" not in path.name]
    return [path for path in sorted(found) if _is_unseen(path.name) == unseen]


def _photographs_of(root: Path, *, unseen: bool) -> list[Path]:
    """The wallpapers, either those of the test or the others."""
    shared = root / "usr/share"
    found = [
        path for kind in ("jpg", "webp") for path in shared.rglob(f"*.{kind}") if "stamps" not in path.parts
    ]
    return [path for path in sorted(found) if _is_unseen(path.name) == unseen]


def _compose(random: Random, thing: Path, beside: Sequence[Path], photograph: Image.Image) -> _Boxed:
    """A thing on a part of a photograph, with other things beside it that cover none of it."""
    width, height = photograph.size
    part = int(random.uniform(0.25, 0.9) * min(width, height))
    left, top = (int(random.integers(0, extent - part + 1)) for extent in (width, height))
    ground = photograph.crop((left, top, left + part, top + part)).resize((SIDE_PX, SIDE_PX)).convert("RGB")
    for other in beside:
        small = _scaled(other, random.uniform(_BESIDE_SMALLEST, _BESIDE_LARGEST))
        ground.paste(small, _place(random, small), small)
    ink = _scaled(thing, random.uniform(_SMALLEST, _LARGEST))
    x, y = _place(random, ink)
    ground.paste(ink, (x, y), ink)
    box = ink.getchannel("A").point(lambda alpha: 255 * (alpha >= _OPAQUE)).getbbox()
    if box is None:
        raise ValueError(f"{thing}: expected an opaque part, found none")
    return _Boxed(ground, (x + box[0], y + box[1], box[2] - box[0], box[3] - box[1]))


def make_cutouts(folder: Path, root: Path, *, count: int, tested: int, seed: int) -> None:
    """Write `train/KIND/…`, `test/KIND/…` and `test.csv`, the true boxes of the test, into a new folder.

    Args:
        folder: where to.
        root: where the packages were unpacked.
        count: pictures of each kind to train on.
        tested: pictures of each kind to test on.
        seed: of everything.
    """
    folder.mkdir(parents=True)
    beside = {unseen: _things_of(root, BESIDE, unseen=unseen) for unseen in (False, True)}
    rows = []
    for part, wanted, unseen in (("train", count, False), ("test", tested, True)):
        photographs = [_smaller(path) for path in _photographs_of(root, unseen=unseen)]
        for number, (kind, folders) in enumerate(tqdm(KINDS.items(), desc=part, leave=False)):
            things = _things_of(root, folders, unseen=unseen)
            (folder / part / kind).mkdir(parents=True)
            for i in range(wanted):
                random = np.random.default_rng([seed, unseen, number, i])
                others = [
                    beside[unseen][k] for k in random.integers(len(beside[unseen]), size=random.integers(3))
                ]
                made = _compose(
                    random, things[i % len(things)], others, photographs[random.integers(len(photographs))]
                )
                name = f"{kind}/{i:04d}.png"
                made.picture.save(folder / part / name)
                if unseen:
                    rows.append((name, *made.box))
    with (folder / "test.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(("file", "x", "y", "width", "height"))
        table.writerows(rows)


def _is_unseen(name: str) -> bool:
    """Kept for the test: a function of the name, so that more packages change nothing."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _UNSEEN == 0


def _smaller(path: Path) -> Image.Image:
    """A photograph of at most 1,024 px a side: more would only be shrunk for each picture anew."""
    photograph = Image.open(path).convert("RGB")
    photograph.thumbnail((1024, 1024))
    return photograph


@cache
def _stamp(path: Path) -> Image.Image:
    stamp = Image.open(path).convert("RGBA")
    stamp = stamp.crop(stamp.getchannel("A").getbbox())
    stamp.thumbnail((SIDE_PX, SIDE_PX))
    return stamp


def _scaled(path: Path, share: float) -> Image.Image:
    stamp = _stamp(path)
    scale = share * SIDE_PX / max(stamp.size)
    return stamp.resize((max(1, round(stamp.width * scale)), max(1, round(stamp.height * scale))))


def _place(random: Random, stamp: Image.Image) -> tuple[int, int]:
    return (
        int(random.integers(0, SIDE_PX - stamp.width + 1)),
        int(random.integers(0, SIDE_PX - stamp.height + 1)),
    )
