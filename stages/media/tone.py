"""Convert HDR and wide-gamut pixels to BT.709, for previews and H.264 layers.

The conversion follows ITU-R BT.2408-7 (HDR reference white of 203 cd/m2 becomes SDR white), with
the tone curve of ITU-R BT.2390-11, 5.4 (EETF). Pixels are ``(T, 3, H, W)`` RGB in [0, 1], before
and after.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.media.color_tags import (
    BT709,
    BT2020,
    HDR_WHITE,
    HLG,
    LINEAR,
    PQ,
    PQ_PEAK,
    SRGB,
    ColorTags,
)

WHITE = float(HDR_WHITE)
"""HDR reference white in cd/m2, which becomes SDR white (BT.2408-7, table 1)."""
# SMPTE ST 2084 (PQ).
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
# ARIB STD-B67 (HLG), BT.2100-2 table 5, and its system gamma at 1000 cd/m2.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_SYSTEM_GAMMA = 1.2
_HLG_PEAK = 1000  # cd/m2
_DISPLAY_GAMMA = 2.4  # of a reference display for SDR, BT.1886
_LUMA = (0.2126, 0.7152, 0.0722)  # BT.709's weights of red, green and blue
# Chromaticities x, y of red, green, blue and white, H.273 table 2.
_D65 = (0.3127, 0.3290)
_POINTS = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
# Cone responses after Bradford, to adapt one white to another (ICC.1:2022, annex E).
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_KNEE = 0.9  # saturation from which colours are compressed; 1 is the most that BT.709 shows
_POWER = 1.2  # sharpness of that knee, as in ACES' Reference Gamut Compression


def to_display(pixels: Tensor, tags: ColorTags) -> Tensor:
    """Return pixels ``(..., 3, H, W)`` in BT.709; the same tensor where no conversion is needed.

    pixels: encoded values in [0, 1], as ``tags`` say.
    """
    if not tags.needs_conversion:
        return pixels
    values = pixels.detach().to(torch.float32).clamp(0, 1)
    if tags.transfer == PQ:
        light = compress_range(pq_to_light(values), tags.peak) / WHITE
    elif tags.transfer == HLG:
        light = compress_range(hlg_to_light(values, tags), tags.peak) / WHITE
    elif tags.transfer == LINEAR:
        light = values
    else:
        light = values**_DISPLAY_GAMMA
    matrix = gamut_matrix(tags.primaries)
    if matrix is not None:
        light = compress_gamut(torch.einsum("ij,tjhw->tihw", matrix, light), _reach(matrix))
    return light.clamp(0, 1) ** (1 / _DISPLAY_GAMMA)


def to_light(pixels: Tensor, tags: ColorTags) -> Tensor:
    """Return encoded pixels as linear light, in which white is 1, in the input's own primaries.

    HDR's reference white (203 cd/m2) becomes 1, and brighter light is more. Transfers of SDR are
    undone as a display does it: sRGB by its own curve, all others by the power of 2.4 (BT.1886).
    """
    values = pixels.detach().to(torch.float32).clamp(0, 1)
    if tags.transfer == PQ:
        return pq_to_light(values) / WHITE
    if tags.transfer == HLG:
        return hlg_to_light(values, tags) / WHITE
    if tags.transfer == LINEAR:
        return values
    if tags.transfer == SRGB:
        # IEC 61966-2-1.
        return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return values**_DISPLAY_GAMMA


def chromaticities(primaries: int) -> tuple[tuple[float, float], ...] | None:
    """Return x and y of red, green, blue and white by H.273's number; ``None`` if not known."""
    return _POINTS.get(primaries)


def pq_to_light(values: Tensor) -> Tensor:
    """Return the light in cd/m2 of PQ values.

    L = 10000 (max(V^(1/m2) - c1, 0) / (c2 - c3 V^(1/m2)))^(1/m1), SMPTE ST 2084.
    """
    root = values ** (1 / _M2)
    return PQ_PEAK * ((root - _C1).clamp_min(0) / (_C2 - _C3 * root)) ** (1 / _M1)


def light_to_pq(light: Tensor) -> Tensor:
    """Return the PQ values, 0 to 1, of light in cd/m2: the inverse of :func:`pq_to_light`."""
    power = (light / PQ_PEAK).clamp(0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_light(values: Tensor, tags: ColorTags) -> Tensor:
    """Return the light in cd/m2 of HLG values on a display of 1000 cd/m2.

    F = 1000 Y^(1.2 - 1) E (BT.2100-2, OOTF). E is the scene's light: V^2 / 3 up to V = 0.5 and
    (exp((V - c) / a) + b) / 12 above. Y is its luminance.
    """
    scene = torch.where(values <= 0.5, values**2 / 3, (torch.exp((values - _C) / _A) + _B) / 12)
    weights = _to_xyz(tags.primaries if tags.primaries in _POINTS else BT2020)[1].float()
    luminance = (scene * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    return _HLG_PEAK * luminance.clamp_min(1e-9) ** (_SYSTEM_GAMMA - 1) * scene


def compress_range(light: Tensor, peak: float) -> Tensor:
    """Compress light of up to ``peak`` cd/m2 to :data:`WHITE`, by the curve of BT.2390-11, 5.4.1.

    The curve is applied to the largest channel, and all three channels are scaled alike, which
    keeps hues. E1 is the channel's PQ value divided by the peak's, m is that of white, and
    KS = 1.5 m - 0.5. Below KS nothing changes. Above, with T = (E1 - KS) / (1 - KS), the result is
    P(T) = (2T^3 - 3T^2 + 1) KS + (T^3 - 2T^2 + T)(1 - KS) + (-2T^3 + 3T^2) m, a Hermite spline.
    """
    if peak <= WHITE:
        return light.clamp(0, WHITE)
    largest = light.amax(1, keepdim=True).clamp(1e-6, peak)
    top = float(light_to_pq(torch.tensor(peak)))
    white = float(light_to_pq(torch.tensor(WHITE))) / top
    knee = 1.5 * white - 0.5
    value = light_to_pq(largest) / top
    t = ((value - knee) / (1 - knee)).clamp(0, 1)
    curve = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * white
    )
    mapped = pq_to_light(torch.where(value > knee, curve, value) * top)
    return light.clamp(0, peak) * (mapped / largest)


def gamut_matrix(primaries: int) -> Tensor | None:
    """Return the ``(3, 3)`` matrix from linear RGB with these primaries to BT.709.

    primaries: H.273's number. Returns None where nothing would change, or they are not known.
    """
    if primaries == BT709 or primaries not in _POINTS:
        return None
    matrix: Tensor = torch.linalg.inv(_to_xyz(1)) @ _adaptation(primaries) @ _to_xyz(primaries)
    return matrix.float()


def compress_gamut(light: Tensor, reach: float) -> Tensor:
    """Compress linear BT.709 light softly into the gamut, keeping luminance and hue.

    A colour's saturation r is the distance of its channels from its luminance, divided by the
    distance that black and white allow. Above 1 a colour cannot be shown. r becomes
    k + d / (1 + (d / s)^p)^(1/p) with d = r - k, so that the saturation ``reach`` becomes 1.
    """
    weights = torch.tensor(_LUMA).view(1, 3, 1, 1)
    luminance = (light * weights).sum(1, keepdim=True).clamp(0, 1)
    chroma = light - luminance
    below = -chroma.amin(1, keepdim=True) / luminance.clamp_min(1e-6)
    above = chroma.amax(1, keepdim=True) / (1 - luminance).clamp_min(1e-6)
    saturation = torch.maximum(below, above)
    excess = (saturation - _KNEE).clamp_min(0)
    full = max(reach, 1.01) - _KNEE
    scale = full / (((1 - _KNEE) / full) ** -_POWER - 1) ** (1 / _POWER)
    drawn = _KNEE + excess / (1 + (excess / scale) ** _POWER) ** (1 / _POWER)
    factor = torch.where(
        saturation > _KNEE,
        drawn.clamp_max(1) / saturation.clamp_min(1e-6),
        torch.ones_like(saturation),
    )
    return luminance + chroma * factor


def _reach(matrix: Tensor) -> float:
    """Return the largest saturation in BT.709 of the source gamut's primaries and secondaries.

    Only the side towards black is measured.
    """
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]).T
    colors = matrix @ corners
    luminance = (colors * torch.tensor(_LUMA).view(3, 1)).sum(0)
    return float((1 - colors.amin(0) / luminance).max())


def _to_xyz(primaries: int) -> Tensor:
    """Return the ``(3, 3)`` matrix from linear RGB to CIE XYZ, with luminance 1 for white.

    SMPTE RP 177.
    """
    *colors, white = _POINTS[primaries]
    columns = torch.tensor([[x, y, 1 - x - y] for x, y in colors], dtype=torch.float64).T
    gains: Tensor = torch.linalg.solve(columns, _white(white))
    return columns * gains


def _white(point: tuple[float, float]) -> Tensor:
    """Return the CIE XYZ ``(3,)`` of a chromaticity, with luminance 1."""
    x, y = point
    return torch.tensor([x / y, 1, (1 - x - y) / y], dtype=torch.float64)


def _adaptation(primaries: int) -> Tensor:
    """Return the ``(3, 3)`` matrix in XYZ that adapts the white of these primaries to D65."""
    cones = torch.tensor(_BRADFORD, dtype=torch.float64)
    gains = (cones @ _white(_D65)) / (cones @ _white(_POINTS[primaries][3]))
    back: Tensor = torch.linalg.inv(cones)
    return back @ torch.diag(gains) @ cones
