"""Find the lattice on which something repeats over one picture.

The edges of a repeated mark agree at every step of the lattice, and those of the scene do not. So
the autocorrelation of the picture's edges has a peak at each of these steps. Most of what else it
has is smooth or lies along lines, because edges of the scene are long. Dividing the spectrum by its
own smoothed version (whitening) leaves little of that, and little between the peaks but noise.

Pictures ``(3, H, W)`` in [0, 1]; steps in pixels, (down, right).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.pictures import FAINT_EDGE, signed_edges

Step = tuple[float, float]
LEAST_STEP = 24
"""Pixels between two repetitions, at least. So single blocks of a codec (8 or 16) are left out."""
LEAST_SIDE = 120
"""Pixels of a picture's shorter side, at least. A smaller one shows too few repetitions."""
LEAST_OVERLAP = 0.12  # part of the picture's area that a shift must leave in common
SMOOTHED_SHIFTS = 20
"""Shifts of fewer pixels than this are what the smoothed spectrum describes."""
PEAKS = 24  # highest peaks, of which two span the lattice
PEAK_DISTANCE = 4  # pixels between two peaks
MAD_TO_DEVIATION = 1.4826
"""Standard deviation of Gaussian noise, as a multiple of its median absolute deviation."""
LEAST_SHIFTS = 4  # fewest shifts of a lattice
LEAST_SINE = 0.35  # least sine of the angle between the two spanning steps
NEARBY = 2  # pixels around a place of the lattice in which its peak is looked for
LEAST_PEAK = 2.0  # standard deviations above which a shift is a peak
WHOLE_TOLERANCE = 0.12
"""Pixels from a whole number within which a step is rounded to it."""
LEAST_MEASURED = 3  # fewest peaks from which the steps are measured


@dataclass(frozen=True)
class Lattice:
    """A lattice: all whole multiples of two steps and their sums.

    first, second: the steps, the shortest ones that span it. They need not be whole.
    strength: by how many standard deviations of shifts without repetition its shifts agree
        together.
    shifts: how many shifts that is.
    """

    first: Step
    second: Step
    strength: float
    shifts: int

    @property
    def area(self) -> float:
        """The area of its cell in pixels."""
        return abs(self.first[0] * self.second[1] - self.first[1] * self.second[0])

    @property
    def is_whole(self) -> bool:
        """Whether its steps are whole pixels, so that every repetition is the same."""
        return all(value == round(value) for value in (*self.first, *self.second))

    @property
    def basis(self) -> Tensor:
        """Its two steps, one a row, ``(2, 2)`` in double precision."""
        return torch.tensor([self.first, self.second], dtype=torch.float64)


@dataclass(frozen=True)
class Agreement:
    """How well edges agree at every shift.

    z_scores: standard deviations from the median of all shifts, ``(2 H, 2 W)``, with the shift
        (0, 0) at (H, W).
    overlap: pixels that the shifted picture has in common with itself, of the same shape.
    valid: which shifts count, boolean.
    """

    z_scores: Tensor
    overlap: Tensor
    valid: Tensor

    @property
    def center(self) -> tuple[int, int]:
        """The row and the column of the shift (0, 0)."""
        return self.z_scores.shape[-2] // 2, self.z_scores.shape[-1] // 2


def find_lattices(picture: Tensor, most: int = 1) -> list[Lattice]:
    """Return the lattices on which edges of ``picture`` (3, H, W) repeat, the strongest first.

    One is returned whenever two peaks span one; its strength tells whether that is chance. The
    shifts of one lattice do not count for the next ones, so a texture of the scene does not hide a
    mark.

    most: how many lattices are returned at most.
    """
    found: list[Lattice] = []
    if min(picture.shape[-2:]) < LEAST_SIDE:
        return found
    agreement = edge_agreement(picture)
    while len(found) < most:
        best = _strongest_lattice(agreement)
        if best is None:
            break
        found.append(with_measured_steps(agreement, best))
        _clear_shifts(agreement, found[-1])
    return found


def _strongest_lattice(agreement: Agreement) -> Lattice | None:
    """Return the strongest lattice that two of the highest peaks span, or None."""
    best: Lattice | None = None
    for first, second in combinations(highest_peaks(agreement), 2):
        steps = shortest_steps(first, second)
        if not spans_a_lattice(*steps):
            continue
        tried = lattice_of(agreement, *steps)
        is_stronger = best is None or tried.strength > best.strength
        if tried.shifts >= LEAST_SHIFTS and is_stronger:
            best = tried
    return best


def _clear_shifts(agreement: Agreement, lattice: Lattice) -> None:
    """Set the agreement at the shifts of ``lattice``, and around them, to 0."""
    height, width = agreement.center
    _, steps = shifts_of(agreement, lattice.first, lattice.second)
    for row, column in [*steps.tolist(), *(-steps).tolist()]:
        near = (
            slice(height + row - PEAK_DISTANCE, height + row + PEAK_DISTANCE + 1),
            slice(width + column - PEAK_DISTANCE, width + column + PEAK_DISTANCE + 1),
        )
        agreement.z_scores[near] = 0


def edge_agreement(picture: Tensor) -> Agreement:
    """Return how well the edges of ``picture`` (3, H, W) agree at every shift.

    A gray mark is lighter than some parts of the scene and darker than others, so its edges agree
    in direction but not in sign. Both kinds of agreement count together.
    """
    height, width = picture.shape[-2:]
    rows, columns = (torch.arange(2 * side) - side for side in (height, width))
    overlap = ((height - rows.abs())[:, None] * (width - columns.abs())[None]).float()
    valid = overlap > LEAST_OVERLAP * height * width
    valid &= rows[:, None].square() + columns[None].square() >= LEAST_STEP**2
    if not bool(valid.any()):
        return Agreement(torch.zeros_like(overlap), overlap, valid)
    z_scores = torch.zeros_like(overlap)
    for planes in (signed_edges(picture), unsigned_edges(picture)):
        correlation = whitened_autocorrelation(planes) / overlap.clamp_min(1).sqrt()
        median = correlation[valid].median()
        deviation = (correlation[valid] - median).abs().median() * MAD_TO_DEVIATION
        z_scores += (correlation - median) / deviation.clamp_min(1e-9) / 2**0.5
    return Agreement(z_scores, overlap, valid)


def unsigned_edges(picture: Tensor) -> Tensor:
    """Return the directions of the edges of ``picture`` (3, H, W) without sign, ``(2, H, W)``.

    The two planes are the cosine and the sine of twice the angle.
    """
    beside, below = (
        F.pad(picture.diff(dim=axis), pad) for axis, pad in ((-1, (0, 1)), (-2, (0, 0, 0, 1)))
    )
    cosine = (beside.square() - below.square()).sum(0)
    sine = 2 * (beside * below).sum(0)
    strength = (cosine.square() + sine.square()).sqrt() + FAINT_EDGE**2
    return torch.stack([cosine, sine]) / strength


def whitened_autocorrelation(planes: Tensor) -> Tensor:
    """Return the autocorrelation ``(2 H, 2 W)`` of ``planes`` (C, H, W), whitened.

    The shift (0, 0) is at (H, W).
    """
    height, width = planes.shape[-2:]
    size = cv2.getOptimalDFTSize(2 * height), cv2.getOptimalDFTSize(2 * width)
    planes = planes - planes.mean((-2, -1), keepdim=True)
    power = torch.fft.fft2(planes, s=size).abs().square().sum(0)
    smoothed = torch.fft.fft2(torch.fft.ifft2(power).real * near_window(size)).real
    whitened = power / smoothed.clamp_min(1e-6 * float(power.mean()))
    return torch.roll(torch.fft.ifft2(whitened).real, (height, width), (0, 1))[
        : 2 * height, : 2 * width
    ]


def near_window(size: tuple[int, int]) -> Tensor:
    """Return a Gaussian around shift (0, 0) in the corners of ``size``, as Fourier order has it.

    A spectrum times this, as an autocorrelation, is the spectrum smoothed by a Gaussian.
    """
    lines = []
    for side in size:
        shift = torch.arange(side, dtype=torch.float32)
        shift = torch.minimum(shift, side - shift)
        lines.append(torch.exp(-0.5 * (shift / (SMOOTHED_SHIFTS / 2.5)).square()))
    return lines[0][:, None] * lines[1][None]


def highest_peaks(agreement: Agreement) -> list[Step]:
    """Return the highest peaks of the shifts downwards, the highest first."""
    z_scores, valid = agreement.z_scores, agreement.valid.clone()
    height, width = agreement.center
    valid[:height] = False  # the same shifts again, the other way
    valid[height, :width] = False
    highest = F.max_pool2d(z_scores[None, None], 2 * PEAK_DISTANCE + 1, 1, PEAK_DISTANCE)[0, 0]
    top = torch.where(
        valid & (z_scores == highest), z_scores, torch.full_like(z_scores, -torch.inf)
    )
    values, places = top.flatten().topk(min(PEAKS, top.numel()))
    return [
        (float(int(place) // (2 * width) - height), float(int(place) % (2 * width) - width))
        for value, place in zip(values, places, strict=True)
        if value > LEAST_PEAK
    ]


def shortest_steps(first: Step, second: Step) -> tuple[Step, Step]:
    """Return the shortest two steps that span the same lattice (Lagrange and Gauss)."""
    one, other = torch.tensor(first).double(), torch.tensor(second).double()
    while True:
        if one.norm() > other.norm():
            one, other = other, one
        times = torch.round(one @ other / (one @ one).clamp_min(1e-9))
        if times == 0:
            break
        other = other - times * one
    return (float(one[0]), float(one[1])), (float(other[0]), float(other[1]))


def spans_a_lattice(first: Step, second: Step) -> bool:
    """Return whether two steps are long enough, and differ in direction."""
    lengths = [(step[0] ** 2 + step[1] ** 2) ** 0.5 for step in (first, second)]
    area = abs(first[0] * second[1] - first[1] * second[0])
    is_long = min(lengths) >= LEAST_STEP
    return bool(is_long and area >= LEAST_SINE * lengths[0] * lengths[1])


def shifts_of(agreement: Agreement, first: Step, second: Step) -> tuple[Tensor, Tensor]:
    """Return the multiples ``(n, 2)`` of two steps that are valid shifts, and these ``(n, 2)``.

    Of two opposite shifts only one is returned.
    """
    height, width = agreement.center
    basis = torch.tensor([first, second], dtype=torch.float64)
    inverse = torch.linalg.inv(basis)
    corners = torch.tensor([[height, width], [height, -width]], dtype=torch.float64)
    reach = (corners @ inverse).abs().amax(0).ceil().long()
    ones, others = (torch.arange(-int(most), int(most) + 1) for most in reach)
    multiples = torch.cartesian_prod(ones, others)
    multiples = multiples[(multiples[:, 0] > 0) | ((multiples[:, 0] == 0) & (multiples[:, 1] > 0))]
    steps = (multiples.double() @ basis).round().long()
    inside = (steps[:, 0].abs() < height - NEARBY) & (steps[:, 1].abs() < width - NEARBY)
    multiples, steps = multiples[inside], steps[inside]
    kept = agreement.valid[height + steps[:, 0], width + steps[:, 1]]
    return multiples[kept], steps[kept]


def lattice_of(agreement: Agreement, first: Step, second: Step) -> Lattice:
    """Return the lattice that two steps span, with its strength.

    Every shift counts by the edges that it compares. Without repetition the strength is that of
    one shift, whatever the lattice.
    """
    _, steps = shifts_of(agreement, first, second)
    height, width = agreement.center
    at = height + steps[:, 0], width + steps[:, 1]
    weight = agreement.overlap[at].sqrt()
    total = (weight * agreement.z_scores[at]).sum() / weight.square().sum().sqrt().clamp_min(1e-9)
    return Lattice(first, second, float(total), len(steps))


def with_measured_steps(agreement: Agreement, lattice: Lattice) -> Lattice:
    """Return ``lattice`` with its steps fitted to the peaks near its shifts, if that is better.

    Steps that are nearly whole become whole: most programs place a mark at whole pixels.
    """
    multiples, steps = shifts_of(agreement, lattice.first, lattice.second)
    height, width = agreement.center
    places, weights = [], []
    for down, right in steps.tolist():
        row, column = height + down - NEARBY, width + right - NEARBY
        part = agreement.z_scores[row : row + 2 * NEARBY + 1, column : column + 2 * NEARBY + 1]
        below, beside = divmod(int(part.argmax()), 2 * NEARBY + 1)
        places.append((down + below - NEARBY, right + beside - NEARBY))
        weights.append(float(part.max()) if float(part.max()) > LEAST_PEAK else 0.0)
    if sum(weight > 0 for weight in weights) < LEAST_MEASURED:
        return lattice
    scale = torch.tensor(weights, dtype=torch.float64).clamp_min(0)[:, None].sqrt()
    fitted = torch.linalg.lstsq(
        scale * multiples.double(), scale * torch.tensor(places, dtype=torch.float64)
    ).solution
    whole = fitted.round()
    fitted = torch.where((fitted - whole).abs() < WHOLE_TOLERANCE, whole, fitted)
    (down, right), (below, beside) = fitted.tolist()
    if not spans_a_lattice((down, right), (below, beside)):
        return lattice
    found = lattice_of(agreement, (down, right), (below, beside))
    return found if found.strength > lattice.strength else lattice
