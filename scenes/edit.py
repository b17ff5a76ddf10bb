"""Changes to drawn scenes, before they are rendered: the same scenes with less in them."""

from __future__ import annotations

from scenes.backend import Array, namespace
from scenes.draw import SceneParameters


def thin_out(parameters: SceneParameters, pieces: int) -> SceneParameters:
    """The same scenes without their last pieces of clutter: `pieces` digits and `pieces` crops fewer."""
    xp = namespace(parameters.seed)
    count = parameters.clutter_count - pieces
    crops = max(parameters.crop_index.shape[1] - pieces, 0)
    return parameters._replace(
        clutter_count=xp.maximum(count, xp.zeros_like(count)),
        crop_index=parameters.crop_index[:, :crops],
        crop_source_x=parameters.crop_source_x[:, :crops],
        crop_source_y=parameters.crop_source_y[:, :crops],
        crop_x_px=parameters.crop_x_px[:, :crops],
        crop_y_px=parameters.crop_y_px[:, :crops],
    )


def remove_target(parameters: SceneParameters, chosen: Array) -> SceneParameters:
    """The same scenes, those that are `chosen`, bool `[n]`, without their target digit.

    The target is moved out of the picture: its clutter and noise stay as they are.
    """
    xp = namespace(parameters.seed)
    outside = xp.zeros_like(parameters.centre_x_px) - 2.0 * parameters.side_px
    return parameters._replace(centre_x_px=xp.where(chosen, outside, parameters.centre_x_px))
