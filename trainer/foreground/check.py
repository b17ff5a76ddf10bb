"""Whether a learnt map is the object: told from labels alone, on held-out pictures.

If the map is the object, the critic names what it keeps, and cannot name what it leaves out. A map of nearly
the whole picture, or one whose outside tells as much as its inside, is none: the critic has learnt the
surroundings, or the map has not been learnt.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainer.foreground.critic import Critic, filling, mixed
from trainer.foreground.map_network import MapNetwork

LARGEST_AREA = 0.5
LEAST_KEPT = 0.5
MOST_LEFT_OUT = 0.5


class Check(NamedTuple):
    """What the critic names rightly of held-out pictures, and the share of them that the map keeps."""

    whole: float
    kept: float
    left_out: float
    area: float
    chance: float
    """What guessing names rightly: the share of the most frequent class."""

    @property
    def localised(self) -> bool:
        """Whether the map is an object: the rule.

        Both shares are of what the critic knows beyond chance. The map keeps at least half of it, what it
        leaves out has at most half of it, and the map is at most half of the picture. The critic itself must
        know something: be right at least a quarter of the way from chance to always.
        """
        known = self.whole - self.chance
        return (
            known >= 0.25 * (1 - self.chance)
            and self.kept - self.chance >= LEAST_KEPT * known
            and self.left_out - self.chance <= MOST_LEFT_OUT * known
            and self.area <= LARGEST_AREA
        )


@torch.no_grad()
def check(
    network: MapNetwork, critic: Critic, images: Tensor, labels: Tensor, *, device: torch.device, seed: int
) -> Check:
    """Measure a map network on pictures that all show an object.

    Args:
        network: the map network.
        critic: the critic that it learnt from.
        images: uint8 `[n, channels, side, side]`, which neither has learnt from.
        labels: classes, int64 `[n]`.
        device: where both networks are.
        seed: of the filling.

    Raises:
        ValueError: there are no pictures.
    """
    if not len(labels):
        raise ValueError("held out: expected pictures with an object, got none")
    random = torch.Generator().manual_seed(seed)
    right, area = torch.zeros(3), 0.0
    for some, expected in zip(torch.split(images, _BATCH), torch.split(labels, _BATCH), strict=True):
        scenes, wanted = some.to(device).float() / 255, expected.to(device)
        maps, _ = network(scenes)
        shown = functional.interpolate(maps, size=scenes.shape[-2:], mode="bilinear", align_corners=False)
        fill = filling(scenes, random)
        seen = (scenes, mixed(scenes, shown, fill), mixed(scenes, 1 - shown, fill))
        right += torch.stack([(critic(each).argmax(1) == wanted).sum().cpu() for each in seen])
        area += float(maps.mean(dim=(1, 2, 3)).sum())
    whole, kept, left_out = (right / len(labels)).tolist()
    chance = float(labels.bincount().max()) / len(labels)
    return Check(whole, kept, left_out, area / len(labels), chance)


_BATCH = 64
