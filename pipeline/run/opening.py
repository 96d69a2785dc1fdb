"""Open the input of a run, and choose its device and its folder."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import torch

from pipeline.run.inputs import check_fit, check_inputs
from pipeline.settings import Settings
from pipeline.timeline.clock import ListClock, frames_of, time_code_of
from pipeline.values import TimeCode, check_order, check_spans
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable
from stages.media.trial import try_files

MAX_STEM = 200
"""Bytes of the input's name in a folder's name, which file systems limit to 255 bytes."""
HEADER_SECONDS = 1.0
"""Seconds by which a header may understate a clip's length."""
HEADER_FRAMES = 2
"""Frames by which a header may understate the number of frames, on top of the factors below."""
COUNTED_FACTOR = 1.02
"""Factor by which the number of frames in a header may be too low."""
GUESSED_FACTOR = 1.5
"""Factor by which a number of frames may be too low that comes from length and rate alone."""


def open_checked(settings: Settings) -> Clip:
    """Return the open clip.

    Raises UsageError where the settings cannot fit it, as far as its header tells, and UnlayerError
    where it cannot be read. Nothing heavy is done before that.
    """
    check_inputs(settings.inputs)
    try_files(settings.inputs, stream=settings.stream, max_pixels=settings.max_pixels)
    try_files(settings.hint_files, max_pixels=settings.max_pixels)
    start = _seconds_at(settings.start, settings)
    end = _seconds_at(settings.end, settings, may_be_later=True)
    check_order(start, end)
    clip = open_clip(
        settings.inputs,
        stream=settings.stream,
        salvage=settings.salvage,
        start=start,
        end=end,
        max_pixels=settings.max_pixels,
        interlaced=settings.interlaced,
    )
    check_fit(settings, clip.info)
    _check_ranges(settings, start, clip.info)
    return clip


def _seconds_at(
    time: Fraction | TimeCode | None, settings: Settings, *, may_be_later: bool = False
) -> Fraction | None:
    """Return a time in seconds of the clip; ``None`` stays ``None``.

    A time code becomes the time of the frame that the clip labels with it. Where the clip has no
    time codes, they count from 0.

    may_be_later: whether a time code after the clip's last one is taken, too.
    Raises UsageError for a time code that the clip cannot have, and UnlayerError where the clip
    cannot be read.
    """
    if not isinstance(time, TimeCode):
        return time
    info = open_clip(
        settings.inputs,
        stream=settings.stream,
        salvage=settings.salvage,
        max_pixels=settings.max_pixels,
        interlaced="keep",
    ).info
    clock = ListClock(info.rate, *time_code_of(info))
    frame = clock.frame(time.label)
    if frame is None:
        raise UsageError(
            f"{printable(info.path)}: {time} is no time code at {float(info.rate):g} frames a "
            "second; give seconds, or another time code"
        )
    seconds = _seconds(info)
    if seconds is not None:
        count = round(Fraction(seconds) * info.rate)
        is_later = frame > count + (HEADER_SECONDS * info.rate)
        # A time code before the first one counts as one of the next day.
        is_earlier = is_later and time.label < clock.label(0)
        if is_earlier or (is_later and not may_be_later):
            raise UsageError(
                f"{printable(info.path)}: has no frame with the time code {time}; its time codes "
                f"are {clock.label(0)} to {clock.label(count - 1)}"
            )
    # Half a frame earlier, because containers round the times of frames.
    return max(Fraction(0), (frame - Fraction(1, 2)) / info.rate)


def _check_ranges(settings: Settings, start: Fraction | None, info: ClipInfo) -> None:
    """Raise UsageError for times and frames that lie far outside the clip.

    Headers are not exact, so there is some tolerance; the number of decoded frames decides later.
    """
    name = printable(info.path)
    seconds = _seconds(info)
    if seconds is not None and start is not None and start > seconds + HEADER_SECONDS:
        raise UsageError(
            f"--start {float(start):g} is after the end of {name}, which lasts {seconds:.3g} s"
        )
    spans = [frames_of(span, info) for span in settings.transition]
    check_spans(spans)
    for first, last in spans:
        outside = f"--transition {first}:{last} is not inside {name}"
        if info.frames:
            if last > COUNTED_FACTOR * info.frames + HEADER_FRAMES:
                frames = f"{info.frames} frames (0 to {info.frames - 1})"
                raise UsageError(f"{outside}, which has {frames}")
        elif seconds is not None:
            # Matroska does not count its frames, and its rate may vary.
            frames_about = seconds * float(info.rate)
            if last > GUESSED_FACTOR * frames_about + HEADER_FRAMES:
                raise UsageError(
                    f"{outside}, which lasts {seconds:.3g} s, about {frames_about:.0f} frames"
                )


def _seconds(info: ClipInfo) -> float | None:
    """Return the clip's length in seconds according to its header, or ``None``."""
    if info.frames:
        return float(info.frames / info.rate)
    return float(info.seconds) if info.seconds else None


def default_folder(settings: Settings) -> Path:
    """Return the run's folder where none is given: ``<stem>-<task>`` in the current folder.

    A run that refines another one gets that one's name with the next number: ``dog-segment-2``.
    """
    if settings.refine is not None:
        return Path(f"./{_next_name(settings.refine.resolve().name)}")
    first = settings.inputs[0]
    stem = first.resolve().name if first.is_dir() else first.stem
    return Path(f"./{short_name(stem) or 'clip'}-{folder_word(settings.task)}")


def _next_name(name: str) -> str:
    """Return the name with the next number at its end; a name without one counts as the first."""
    stem, _, number = name.rpartition("-")
    # A long number is a date or another name, not a count of rounds.
    if stem and re.fullmatch(r"[1-9]\d{0,2}", number, re.ASCII):
        return f"{stem}-{int(number) + 1}"
    return f"{short_name(name) or 'run'}-2"


def folder_word(task: str) -> str:
    """Return a value of ``--task`` as a part of a folder's name: ``watermark+transition``."""
    return task.replace(" ", "").replace(",", "+")


def refuse_input_as_folder(settings: Settings, out: Path) -> None:
    """Raise UsageError where the run's folder is one of its inputs, or the run that it refines."""
    if settings.refine is not None and out.resolve() == settings.refine.resolve():
        raise UsageError(f"{out}: is the run to refine, which stays as it is; choose another --out")
    if any(out.resolve() == path.resolve() for path in settings.inputs):
        raise UsageError(f"{out}: is the input itself; choose another --out")


def short_name(name: str) -> str:
    """Return the beginning of a name, at most :data:`MAX_STEM` bytes."""
    return name.encode(errors="surrogateescape")[:MAX_STEM].decode(errors="ignore")


def pick_device(word: str) -> torch.device:
    """Return the device that ``--device`` names.

    ``auto`` is CUDA where there is a GPU, else the CPU. MPS is used only where it is asked for, as
    it has not been measured. Raises UsageError where the device is missing.
    """
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(word)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UsageError(
                f"--device {word}: there is no CUDA GPU that PyTorch {torch.__version__} can use; "
                "choose --device cpu"
            )
        if device.index is not None and device.index >= count:
            raise UsageError(
                f"--device {word}: there are {count} GPUs, numbered from 0; choose a lower number"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no Metal GPU; choose --device cpu")
    return device
