"""Votes recounted from one pass are those of a model that was built with them."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import votes
from benchmarks.documents import read_out
from benchmarks.results import FOLDER
from tests.trainer.tiny import bar_digits
from trainer.model import VOTES, GlimpseModel, Votes


def test_recounted_votes_are_those_of_a_model_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, scenes = GlimpseModel().eval(), torch.rand(3, 1, 100, 100)
    other = Votes(first_glimpse=0.2, gathered=0.7)
    recounted = votes.recount(model(scenes), other)
    monkeypatch.setattr("trainer.model.VOTES", other)
    torch.testing.assert_close(recounted, model(scenes).logits)


def test_the_models_own_votes_are_among_those_that_are_compared() -> None:
    torch.manual_seed(0)
    found = votes.measure(GlimpseModel().eval(), bar_digits("validation"), 125)
    assert VOTES in votes.CHOICES
    assert len(found) == len(votes.CHOICES)
    assert all(0 < error <= 1 for errors in found for error in errors.values()), "it has learnt nothing"


def test_the_page_shows_what_was_measured() -> None:
    measured = json.loads((FOLDER / "votes.json").read_text(encoding="utf-8"))["figures"]
    assert read_out("votes", votes.PAGE) == votes.markdown(measured)
