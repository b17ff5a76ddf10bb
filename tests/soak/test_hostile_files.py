from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from models.pictures.formats import FORMATS
from service.pictures.decode import ImageError, decode_grey
from tests.soak.hostile_files import make_seeds, mutated, structure_of

SEEDS = make_seeds()
LIMIT = 300_000
FILES = 300


def test_files_of_every_format_are_mutated():
    assert set(SEEDS) == set(FORMATS)
    for kind, files in SEEDS.items():
        for data in files:
            with Image.open(io.BytesIO(data)) as image:
                assert image.format == kind
            assert decode_grey(data, LIMIT).shape == (24, 24)
            assert len(structure_of(data).numbers) > 5


def test_a_seed_is_one_file():
    for files in SEEDS.values():
        first, again, other = (mutated(files[0], random.Random(seed)) for seed in (1, 1, 2))
        assert first == again
        assert first != other


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_mutated_file_gives_a_picture_or_a_sentence(kind):
    chance = random.Random(14)
    read = refused = 0
    for _ in range(FILES):
        try:
            picture = decode_grey(mutated(chance.choice(SEEDS[kind]), chance), LIMIT)
        except ImageError as error:
            assert str(error).startswith("image: ")  # noqa: PT017 - most are refused, some are read
            refused += 1
        else:
            assert picture.ndim == 2
            assert picture.size <= LIMIT
            read += 1
    assert min(read, refused) > FILES / 20  # or the mutations would be too mild, or too wild
