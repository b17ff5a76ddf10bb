"""Which looks a picture gets, and which of them answers it: the rules by themselves, and with a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.pictures.letterbox import Box, Placement, place_whole
from service.inference.looks import MOST_LOOKS, Look, search
from service.inference.predictor import Prediction
from service.inference.work import look_at
from service.pictures.decode import Picture
from tests.service.fakes import BlobPredictor

Says = Callable[[Placement], tuple[float, Box]]
BLANK = np.zeros((100, 100), np.uint8)


def look(placement: Placement, present: float, box: Box) -> Look:
    return Look(
        placement,
        BLANK,
        Prediction(
            probabilities=np.full(10, 0.1, np.float32),
            box=np.array(box, np.float32),
            attention=np.array([50, 50, 5, 5], np.float32),
            glimpse=np.zeros((28, 28), np.float32),
            digit_present=np.asarray(present, np.float32),
        ),
    )


def looked(width: int, height: int, says: Says) -> tuple[list[list[Placement]], Look]:
    """The rounds of a picture, and the look that answers it; `says` gives presence and box for a window."""
    rounds = []
    searching = search(width, height)
    asked = next(searching)
    try:
        while True:
            rounds.append(asked)
            asked = searching.send([look(placement, *says(placement)) for placement in asked])
    except StopIteration as end:
        return rounds, end.value


def a_digit(x: float, y: float, size: float) -> Says:
    """A model that sees the square digit of these px wherever it is 8 to 90 px large and whole."""

    def says(placement: Placement) -> tuple[float, Box]:
        scale = 100 / placement.frame.width
        box = Box(
            (x - placement.frame.x) * scale, (y - placement.frame.y) * scale, size * scale, size * scale
        )
        inside = min(box.x, box.y) >= 0 and max(box.x, box.y) + box.width <= 100
        return (0.9, box) if inside and 8 <= box.width <= 90 else (0.1, Box(40, 40, 30, 30))

    return says


def from_afar(width: int, height: int) -> Placement:
    """The second look at the whole: twice as large a square around its middle."""
    side = 2.0 * max(width, height)
    return Placement(width, height, Box((width - side) / 2, (height - side) / 2, side, side), 100)


def nothing(_: Placement) -> tuple[float, Box]:
    return 0.1, Box(40, 40, 30, 30)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.floats(0, 1), st.floats(1, 100))
def test_a_picture_of_at_most_100_px_is_looked_at_once(width, height, present, size):
    rounds, answer = looked(width, height, lambda _: (present, Box(0, 0, size, size)))
    assert rounds == [[place_whole(width, height, 100)]]
    assert answer.placement == place_whole(width, height, 100)


def test_the_surer_of_both_looks_at_the_whole_answers():
    far = from_afar(1000, 1000)
    rounds, answer = looked(1000, 1000, lambda one: (0.9 if one == far else 0.6, Box(30, 30, 40, 40)))
    ((closer,),) = rounds[1:]
    assert closer == answer.placement
    assert closer.frame.width == pytest.approx(80_000 / 34)  # 40 px of the look from afar are 800 px
    # A digit that fills the picture is seen from afar alone, and then looked at closely.
    rounds, answer = looked(1000, 1000, a_digit(20, 40, 920))
    assert [len(windows) for windows in rounds] == [2, 1]
    box = answer.placement.box_in_picture(Box(*answer.prediction.box.tolist()))
    assert box == pytest.approx((20, 40, 920, 920), abs=1e-3)


@pytest.mark.parametrize(("size_px", "side"), [(800, 80_000 / 34), (120, 12_000 / 34), (340, 1000)])
def test_a_digit_of_any_size_gets_a_window_around_it(size_px, side):
    rounds, answer = looked(1000, 1000, a_digit(100, 150, size_px))
    assert len(rounds) == 2
    ((window,),) = rounds[1:]
    middle = size_px / 2
    assert window.frame == pytest.approx((100 + middle - side / 2, 150 + middle - side / 2, side, side))
    assert answer.placement == window
    # The box of the answer leads back to where the digit is.
    box = answer.placement.box_in_picture(Box(*answer.prediction.box.tolist()))
    assert box == pytest.approx((100, 150, size_px, size_px), abs=1e-3)


def test_no_window_is_enlarged_more_than_three_times():
    rounds, _ = looked(110, 110, lambda _: (0.9, Box(10, 10, 2, 2)))
    ((window,),) = rounds[1:]
    assert window.frame.width == 34
    ((window,),) = looked(110, 110, lambda _: (0.9, Box(-30, 10, 2, 2)))[0][1:]  # beside the picture
    assert window.frame.width == 34


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(0.9, 0.5, False), (0.9, 0.49, True), (0.3, 0.3, False), (0.3, 0.29, True)],
)
def test_the_closer_look_counts_unless_it_is_less_sure(before, after, kept):
    whole, far = place_whole(140, 140, 100), from_afar(140, 140)
    presence = {whole: before, far: 0.0}
    _, answer = looked(140, 140, lambda window: (presence.get(window, after), Box(45, 45, 10, 10)))
    assert (answer.placement == whole) is kept


def test_a_picture_that_shows_no_digit_is_searched_in_windows_of_half_its_side():
    rounds, answer = looked(800, 800, nothing)
    frames = [window.frame for window in rounds[1]]
    assert frames == [Box(x, y, 400, 400) for y in (0, 200, 400) for x in (0, 200, 400)]
    assert [len(windows) for windows in rounds] == [2, 9, 1]
    assert rounds[2][0] == answer.placement  # none was surer, so around what the whole took for one


@pytest.mark.parametrize(("height", "windows"), [(800, 9), (600, 6), (400, 3), (200, 3)])
def test_an_oblong_picture_needs_fewer_windows(height, windows):
    assert len(looked(800, height, nothing)[0][1]) == windows
    assert len(looked(height, 800, nothing)[0][1]) == windows


def test_a_picture_without_finer_pixels_is_not_searched():
    assert [len(windows) for windows in looked(150, 150, nothing)[0]] == [2, 1]
    assert [len(windows) for windows in looked(151, 151, nothing)[0]] == [2, 9, 1]


def test_a_tiny_digit_is_found_by_windows_and_then_looked_at_closely():
    rounds, answer = looked(4000, 3000, a_digit(2900, 1900, 240))  # 6 % of the picture
    assert [len(windows) for windows in rounds] == [2, 6, 1]
    assert answer.placement.frame.width == pytest.approx(24_000 / 34)


@pytest.mark.parametrize("upright", [False, True])
def test_a_strip_is_looked_at_in_overlapping_windows(upright):
    width, height = (200, 4000) if upright else (4000, 200)
    says = a_digit(20, 2311, 150) if upright else a_digit(2311, 20, 150)
    rounds, answer = looked(width, height, says)
    assert [len(windows) for windows in rounds] == [15, 1]
    starts = [window.frame.y if upright else window.frame.x for window in rounds[0]]
    assert starts == pytest.approx(np.linspace(0, 3500, 15).tolist())
    across = {window.frame.x if upright else window.frame.y for window in rounds[0]}
    assert across == {-150}  # 500 px wide, centred on 200 px
    box = answer.placement.box_in_picture(Box(*answer.prediction.box.tolist()))
    assert (box.y if upright else box.x) == pytest.approx(2311, abs=1e-3)


def test_windows_of_a_longer_strip_are_wider():
    windows = looked(9000, 10, nothing)[0][0]
    assert len(windows) == 17
    assert {window.frame.width for window in windows} == {1000}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([0.0, 0.4, 1.0]), st.floats(0.1, 120))
@example(8000, 1000, 0.0, 5.0)
def test_looks_are_bounded_and_cover_the_picture(width, height, present, size):
    rounds, _ = looked(width, height, lambda _: (present, Box(30, 30, size, size)))
    assert sum(map(len, rounds)) <= MOST_LOOKS
    for windows in rounds[:2]:
        if len(windows) == 1 and windows != rounds[0]:
            continue  # a closer look
        for low, extent, size_px in (("x", "width", width), ("y", "height", height)):
            spans = sorted(
                {(getattr(window.frame, low), getattr(window.frame, extent)) for window in windows}
            )
            assert spans[0][0] <= 1e-6
            assert sum(spans[-1]) >= size_px - 1e-6
            for (start, length), (following, _) in itertools.pairwise(spans):
                assert following <= start + length / 2 + 1e-6


def test_the_bound_is_reached():
    rounds, _ = looked(8000, 1000, lambda _: (0.1, Box(30, 30, 5, 5)))
    assert [len(windows) for windows in rounds] == [6, 12, 1]
    assert sum(map(len, rounds)) == MOST_LOOKS


def bright_square(width: int, height: int, x: int, y: int, size: int, ink: int = 255) -> np.ndarray:
    picture = np.zeros((height, width), np.uint8)
    picture[y : y + size, x : x + size] = ink
    return picture


def decoded(pictures: list[np.ndarray]) -> list[Picture]:
    return [Picture(grey, *grey.shape[::-1]) for grey in pictures]


def test_the_pictures_of_a_batch_share_each_round():
    predictor = BlobPredictor()
    pictures = [
        bright_square(100, 100, 20, 30, 30),  # one look
        bright_square(1000, 1000, 100, 600, 100),  # two, and a closer one
        bright_square(
            200, 200, 50, 50, 60, ink=100
        ),  # presence under 1/2: nine windows, none surer, and a closer one
    ]
    looked = look_at(predictor, decoded(pictures), exclusive=True)
    assert predictor.batches == [5, 10, 1]
    assert looked.frames == 16
    boxes = [
        best.placement.box_in_picture(Box(*best.prediction.box.tolist())) for best in looked.best if best
    ]
    assert boxes[0] == pytest.approx((20, 30, 30, 30))
    assert boxes[1] == pytest.approx((100, 600, 100, 100), abs=3)
    assert boxes[2] == pytest.approx((50, 50, 60, 60), abs=2)


def test_who_is_not_alone_gets_no_search():
    predictor = BlobPredictor()
    pictures = [
        np.zeros((300, 300), np.uint8),
        bright_square(300, 300, 20, 30, 20),
        np.zeros((9, 200), np.uint8),
    ]
    best = look_at(predictor, decoded(pictures), exclusive=False).best
    assert [one is not None for one in best] == [False, True, False]
    assert predictor.batches == [4, 1]


def test_of_a_picture_that_was_decoded_at_half_its_size_lengths_are_those_of_what_was_posted():
    grey = bright_square(1000, 1000, 100, 600, 100)
    (best,) = look_at(BlobPredictor(), [Picture(grey, 2000, 2000)], exclusive=True).best
    assert best is not None
    box = best.placement.box_in_picture(Box(*best.prediction.box.tolist()))
    assert box == pytest.approx((200, 1200, 200, 200), abs=6)


def test_a_search_takes_no_larger_calls_than_a_usual_batch():
    predictor = BlobPredictor()
    look_at(predictor, decoded([np.zeros((300, 300), np.uint8)] * 4), exclusive=True)
    assert predictor.batches == [8, 16, 16, 4, 4]


def test_no_pictures_ask_no_model():
    predictor = BlobPredictor()
    looked = look_at(predictor, [], exclusive=True)
    assert (looked.best, looked.frames) == ([], 0)
    assert predictor.batches == []


def test_the_faint_edge_is_taken_away_where_the_picture_is_shown_shrunk():
    """By hand: a Gaussian's box of 20 x 40 at (30, 20), and an edge of a tenth of 40 at each end."""
    told = Box(26, 16, 28, 48)
    for side, expected in ((100.0, told), (101.0, Box(30, 20, 20, 40))):
        one = look(Placement(500, 500, Box(0, 0, side, side), 100), 0.9, told).without_faint_edge(0.1)
        assert one.prediction.box.tolist() == pytest.approx(list(expected), abs=1e-4)
