"""Pictures of a folder are read as the service reads posted ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.pictures.letterbox import Box, cut_frame, place_whole
from service.pictures.decode import decode_picture
from tests.trainer.folders import cats_and_dogs, picture, save
from trainer.folders.load import load_pictures
from trainer.folders.reading import UnreadableError, UprightPicture, read_frame, read_picture
from trainer.folders.scan import scan_folder


def read(path: Path, channels: int) -> UprightPicture:
    with path.open("rb") as stream:
        return read_picture(stream, channels, enough_px=10_000)


def written(folder: Path) -> list[Path]:
    """One file of each kind that people have."""
    image = picture(3, 60, 40)
    deep = np.random.default_rng(0).integers(0, 2**16, (40, 60), np.uint16)
    seen = image.convert("RGBA")
    seen.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, made in {
        "a.png": image,
        "b.jpg": image,
        "cmyk.jpg": image.convert("CMYK"),
        "palette.gif": image.convert("P"),
        "palette.png": image.quantize(16),
        "deep.png": Image.fromarray(deep),
        "deep.tif": Image.fromarray(deep),
        "seen.png": seen,
        "seen.webp": seen,
        "bits.bmp": image.convert("1"),
        "grey.jpg": image.convert("L"),
    }.items():
        save(folder / name, made)
    for name in ("turned.jpg", "turned.png", "turned.webp", "turned.tif"):
        image.save(folder / name, exif=exif)
    return sorted(folder.iterdir())


def test_grey_is_the_service_s_to_the_bit(tmp_path: Path) -> None:
    for path in written(tmp_path):
        posted = decode_picture(path.read_bytes(), 10**6)
        ours = read(path, 1)
        np.testing.assert_array_equal(ours.pixels, posted.grey, err_msg=path.name)
        assert (ours.width_px, ours.height_px) == (posted.width_px, posted.height_px), path.name
        placement = place_whole(posted.width_px, posted.height_px, 100)
        with path.open("rb") as stream:
            frame = read_frame(stream, (posted.width_px, posted.height_px), 100, 1)
        np.testing.assert_array_equal(frame[0], cut_frame(posted.grey, placement), err_msg=path.name)


def test_colours_are_upright_and_of_the_same_size(tmp_path: Path) -> None:
    for path in written(tmp_path):
        size = (40, 60) if path.name.startswith("turned") else (60, 40)
        colours = read(path, 3)
        assert (colours.width_px, colours.height_px) == size, path.name
        assert colours.pixels.shape == (size[1], size[0], 3), path.name
    expected = np.rot90(np.asarray(picture(3, 60, 40)), -1)
    np.testing.assert_array_equal(read(tmp_path / "turned.png", 3).pixels, expected)


def test_a_huge_jpeg_is_reduced_while_it_is_decoded_and_its_frame_stays(tmp_path: Path) -> None:
    image = picture(1, 6, 4).resize((3001, 1999), Image.Resampling.BICUBIC)
    large = save(tmp_path / "large.jpg", image)
    with large.open("rb") as stream:
        reduced = read_picture(stream, 3, enough_px=3 * 64)
    assert (reduced.width_px, reduced.height_px) == (3001, 1999)
    assert 3 * 64 <= max(reduced.pixels.shape) <= 3001 // 8 + 1
    whole = cut_frame(np.asarray(Image.open(large)), place_whole(3001, 1999, 64))
    with large.open("rb") as stream:
        frame = read_frame(stream, (3001, 1999), 64, 3)
    difference = np.abs(frame.transpose(1, 2, 0).astype(int) - whole)
    # Moved by one pixel, they differ by 6 on average, and by up to 40.
    assert difference.mean() < 1
    assert difference.max() <= 6


def test_boxes_of_the_frame_lead_back_to_the_upright_picture(tmp_path: Path) -> None:
    folder = cats_and_dogs(tmp_path / "data")
    exif = Image.Exif()
    exif[0x0112] = 6
    # Upright it is 100 x 200 px: in a frame of 64 px it is 32 x 64, at x 16.
    picture(5, 200, 100).save(folder / "cat/turned.jpg", exif=exif)
    data = load_pictures(scan_folder(folder), 64, 3, tmp_path / "pictures.npz")
    (placement,) = [
        side.placement(side.files.index("cat/turned.jpg"))
        for side in (data.train, data.held_out)
        if "cat/turned.jpg" in side.files
    ]
    assert placement.box_in_picture(Box(24, 8, 8, 16)) == Box(25, 25, 25, 50)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(path)
    with pytest.raises(UnreadableError, match=r"^expected finite intensities"):
        read(path, 1)
    with path.open("rb") as stream, pytest.raises(UnreadableError, match="finite"):
        read_frame(stream, (2, 2), 32, 3)
    save(tmp_path / "b.png", 1)
    with (tmp_path / "b.png").open("rb") as stream, pytest.raises(UnreadableError, match="got 12 x 8"):
        read_frame(stream, (8, 12), 32, 3)
