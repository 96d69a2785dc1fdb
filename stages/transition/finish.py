"""Finish the layers of a fitted transition: at full size, frame by frame.

The layers of the working size are enlarged, their detail comes from the clean frames, and each
frame's layers are then made to mix to the input exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture, project
from stages.mixing.pixel_matte import finer_weight
from stages.motion.carry import carried_layer
from stages.motion.flow import resize, resize_flow
from stages.optim.threads import map_in_threads, pays_in_threads, read_ahead
from stages.transition.fitted_transition import FittedTransition
from stages.transition.still import StillScene
from stages.transition.window import Window

BAND_PIXELS = 1 << 17
"""Pixels per band in which a frame is made to mix to the input: its temporaries need far more
memory than the band itself. Bands are computed side by side."""


def finish(
    window: Window,
    fitted: FittedTransition,
    still: StillScene | None = None,
    device: torch.device | None = None,
) -> Iterator[tuple[Mixture, Pair]]:
    """Yield each mixed frame at full size with its layers ``(3, H, W)``.

    Each frame comes as a triplet, a window of three frames. It is the middle one, between the two
    clean frames that its layers are carried from. The next frame overwrites the triplet.

    fitted: the layers at the working size.
    still: the scene that stands still, if one does; its picture replaces its layer.
    device: where to work, the CPU unless given; the results stay there.
    """
    device = device or torch.device("cpu")
    fitted = fitted.to(device)
    if still is not None:
        still = replace(still, picture=still.picture.to(device))
    mixture = fitted.mixture
    outgoing, incoming = (window.first + index for index in fitted.carried.templates)
    # One buffer for all frames: the middle one changes from frame to frame.
    frames = window.frames([outgoing, outgoing, incoming]).to(device)
    finer = mixture.has_matte and mixture.size != window.size
    place = 0
    for block in read_ahead(
        window.blocks(window.first + mixture.first, window.first + mixture.last)
    ):
        for frame in block.pixels:
            weight = mixture.weight[mixture.first + place][None]
            weight = resize(weight, window.size) if mixture.has_matte else weight
            around = torch.cat([torch.zeros_like(weight), weight, torch.ones_like(weight)])
            frames[1] = frame
            triplet = replace(mixture, frames=frames, weight=around, first=1, last=1)
            layers = full_size_layers(triplet, fitted, place)
            if finer:
                around[1] = finer_weight(frames[1:2], layers, weight)[0]
            yield triplet, finish_frame(triplet, layers, still)
            place += 1


def finish_frame(triplet: Mixture, layers: Pair, still: StillScene | None = None) -> Pair:
    """Return the layers ``(3, H, W)`` of one mixed frame, made to mix to it.

    triplet: three frames, the mixed one between the two clean ones, see :func:`finish`.
    layers: as :func:`full_size_layers` returns them; they are overwritten.
    still: a scene that stands still. In a dissolve the other scene then gets the whole residual.
    """
    _mix_in_bands(triplet, layers)
    if still is not None:
        picture = still.picture.clone()
        layers = (picture, layers[1]) if still.side == "outgoing" else (layers[0], picture)
        # At the edge of a matte, a small error of the matte would become a large one of the layer.
        if not triplet.has_matte:
            _mix_in_bands(replace(triplet, locked=still.side), layers)
    return layers[0][0], layers[1][0]


def full_size_layers(triplet: Mixture, fitted: FittedTransition, place: int) -> Pair:
    """Return the layers ``(1, 3, H, W)`` of one mixed frame, before they are made to mix to it.

    The detail is that of the clean frames, carried at full size. What the fit changed in the
    carried frames at the working size is enlarged and added.

    triplet: three frames, the mixed one between the two clean ones, see :func:`finish`.
    place: its number among the mixed frames, from 0.
    """
    at, size = slice(place, place + 1), triplet.size
    if fitted.layers[0].shape[-2:] == size:
        return fitted.layers[0][at].clone(), fitted.layers[1][at].clone()

    def sharp(number: int) -> Tensor:
        """Return the layer of one side at full size."""
        flow = resize_flow(fitted.carried.flows[number][at], size)
        carried = carried_layer(triplet, SIDES[number], flow)
        change = fitted.layers[number][at] - fitted.carried.layers[number][at]
        return carried + resize(change, size)

    outgoing, incoming = map_in_threads(sharp, (0, 1), parallel=pays_in_threads(triplet.frames[1]))
    return outgoing, incoming


def _mix_in_bands(triplet: Mixture, layers: Pair) -> None:
    """Make the layers ``(1, 3, H, W)`` mix to the input, in place and a band at a time."""
    map_in_threads(
        lambda rows: _mix_rows(triplet, layers, rows),
        _bands(triplet),
        parallel=pays_in_threads(triplet.frames[1]),
    )


def _bands(triplet: Mixture) -> list[slice]:
    """Return the rows of a frame in bands that stay in the processor's cache."""
    height = max(1, BAND_PIXELS // triplet.size[1])
    return [slice(top, top + height) for top in range(0, triplet.size[0], height)]


def _mix_rows(triplet: Mixture, layers: Pair, rows: slice) -> None:
    """Make some rows of the layers ``(1, 3, H, W)`` mix to the input, in place.

    Pixels do not depend on each other, so the bands give the same result as the whole frame.
    """
    weight = triplet.weight[..., rows, :] if triplet.has_matte else triplet.weight
    band = replace(triplet, frames=triplet.frames[..., rows, :], weight=weight)
    outgoing = layers[0][..., rows, :]
    incoming = layers[1][..., rows, :]
    if triplet.locked:
        # Against a known layer the residual is divided by the scene's weight, so in a faint scene
        # the input's own error must be kept out.
        outgoing, incoming = (layer.clamp(0, 1) for layer in project(band, outgoing, incoming))
    else:
        model = band.dissolve(band.weight[band.mixed])
        outgoing, incoming = model.reconcile(band.frames[band.mixed], outgoing, incoming)
    layers[0][..., rows, :] = outgoing
    layers[1][..., rows, :] = incoming


def squared_error(triplet: Mixture, layers: Pair) -> float:
    """Return the mean squared error of the mixture of the layers, against the input.

    The layers are rounded to 8 bits first, as in files.

    triplet: three frames, the mixed one between the two clean ones, see :func:`finish`.
    """
    frame = triplet.frames[1]

    def of_rows(rows: slice) -> Tensor:
        """Return the sum over some rows."""
        rounded = [(layer[:, rows] * 255).round() / 255 for layer in layers]
        mixed = triplet.dissolve(triplet.weight_of(1, rows)).mix(*rounded)
        return ((mixed - frame[:, rows]) ** 2).sum()

    sums = map_in_threads(of_rows, _bands(triplet), parallel=pays_in_threads(triplet.frames[1]))
    return float(torch.stack(sums).sum()) / frame.numel()
