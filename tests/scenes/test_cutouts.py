"""Things on photographs: where each lies is known, and nothing of the test is in training."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scenes import cutouts
from scenes.__main__ import main
from scenes.cutouts import BESIDE, KINDS, SIDE_PX, download_packages, make_cutouts


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree like that of the packages: red ellipses for things, blue ones beside, grey photographs."""
    root = tmp_path_factory.mktemp("packages")
    kinds = [(folder, "red") for folders in KINDS.values() for folder in folders]
    for folder, colour in [*kinds, *((folder, "blue") for folder in BESIDE)]:
        place = root / "usr/share/tuxpaint/stamps" / folder
        place.mkdir(parents=True)
        for i in range(20):
            stamp = Image.new("RGBA", (60 + i, 40))
            ImageDraw.Draw(stamp).ellipse((5, 5, 50 + i, 35), fill=colour)
            stamp.save(place / f"{i}.png")
        (place / "0_mirror.png").write_bytes((place / "0.png").read_bytes())
    photographs = root / "usr/share/backgrounds"
    photographs.mkdir()
    for i in range(20):
        Image.new("RGB", (300, 200), (100 + i, 100 + i, 100 + i)).save(photographs / f"{i}.jpg")
    return root


def test_boxes_are_tight_around_the_thing(packages: Path, tmp_path: Path) -> None:
    make_cutouts(tmp_path / "set", packages, count=2, tested=3, seed=0)
    with (tmp_path / "set" / "test.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 3 * len(KINDS)
    for row in rows:
        picture = np.asarray(Image.open(tmp_path / "set" / "test" / row["file"])).astype(int)
        assert picture.shape == (SIDE_PX, SIDE_PX, 3)
        red = (picture[..., 0] - picture[..., 2] > 100).nonzero()
        left, top = red[1].min(), red[0].min()
        found = [left, top, red[1].max() + 1 - left, red[0].max() + 1 - top]
        assert found == pytest.approx([int(row[name]) for name in ("x", "y", "width", "height")], abs=2)
    trained = sorted(path.parent.name for path in (tmp_path / "set" / "train").rglob("*.png"))
    assert trained == sorted([*KINDS] * 2)


def test_things_and_photographs_of_the_test_are_others(packages: Path) -> None:
    for kinds in KINDS.values():
        seen, unseen = (set(cutouts._things_of(packages, kinds, unseen=unseen)) for unseen in (False, True))
        assert seen
        assert unseen
        assert not seen & unseen
        assert not any("_mirror" in path.name for path in seen | unseen)
    seen, unseen = (set(cutouts._photographs_of(packages, unseen=unseen)) for unseen in (False, True))
    assert len(seen | unseen) == 20
    assert not seen & unseen


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(command: list[str], **options: object) -> None:
        raise FileNotFoundError(2, "no such program", command[0])

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ValueError, match="expected apt-get to download"):
        download_packages(tmp_path)
    assert main(["cutouts", str(tmp_path / "set")]) == 1
    assert "--packages names a folder" in capsys.readouterr().err


def test_the_command_takes_unpacked_packages(packages: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert main(["cutouts", str(folder), "--packages", str(packages), "--count", "1", "--tested", "1"]) == 0
    assert len(list(folder.rglob("*.png"))) == 2 * len(KINDS)
