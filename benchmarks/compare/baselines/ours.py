"""Our own method as the comparison sees it: one box, no setting to be chosen."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.compare.baselines.common import Baseline, Candidates, Pictures
from trainer.evaluation.evaluate import torch_predict
from trainer.model import GlimpseModel
from trainer.training.method import own_method


def answer(model: nn.Module, pictures: Pictures) -> Candidates:
    """What the exported graph would say."""
    assert isinstance(model, GlimpseModel)
    with torch.inference_mode():
        said = torch_predict(model)(pictures)
    return Candidates(said.probabilities, said.boxes[:, None])


OURS = Baseline("Glimpse (ours)", own_method(), (1.0,), "none", answer)
