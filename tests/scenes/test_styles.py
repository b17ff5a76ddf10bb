"""A style is one latent vector, everywhere; its numbers are what a generator was trained on."""

from __future__ import annotations

import numpy as np
import torch

from scenes.random import Stream
from scenes.styles import MAX_STYLE, draw_styles, style_latents


def test_a_style_is_one_vector_on_numpy_and_torch_and_in_any_company() -> None:
    styles = np.array([0, 1, 7, MAX_STYLE])
    latents = style_latents(styles, 24)
    assert latents.dtype == np.float32
    assert latents.shape == (4, 24)
    assert len(np.unique(latents, axis=0)) == 4
    np.testing.assert_array_equal(style_latents(styles[2:3], 24)[0], latents[2])
    np.testing.assert_array_equal(style_latents(torch.from_numpy(styles), 24).numpy(), latents)


def test_latents_are_standard_normal_and_independent() -> None:
    latents = style_latents(np.arange(20_000), 24).astype(float)
    assert np.abs(latents.mean(axis=0)).max() < 5 / np.sqrt(20_000)
    assert np.abs(latents.std(axis=0) - 1).max() < 5 / np.sqrt(2 * 20_000)
    correlation = np.corrcoef(latents.T) - np.eye(24)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_styles_are_drawn_over_the_whole_range_and_apart_for_target_and_clutter() -> None:
    seeds = np.arange(5000)
    target = draw_styles(seeds, Stream.STYLE, 1)
    clutter = draw_styles(seeds, Stream.CLUTTER_STYLE, 3)
    assert (target.shape, clutter.shape) == ((5000, 1), (5000, 3))
    assert target.dtype == np.int64
    assert target.min() >= 0
    assert 0.99 * MAX_STYLE < target.max() <= MAX_STYLE
    everything = np.concatenate([target, clutter], axis=1)
    assert len(np.unique(everything)) > 0.999 * everything.size
