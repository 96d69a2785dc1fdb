"""One run, from the settings to the finished folder: checks first, then the task, then the manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from pipeline import __version__
from pipeline.run import manifest
from pipeline.run.input_notes import alpha_note, notes_of
from pipeline.run.inputs import (
    check_fit,
    check_inputs,
    device_warning,
    input_warnings,
    overrun_warning,
)
from pipeline.run.resuming import RESTARTED, going_on
from pipeline.run.unchanged import STATES, InputChangedError, Unchanged, states_of
from pipeline.runtime.folder_decision import Request
from pipeline.runtime.progress import Reporter, Stages, reporter, tell
from pipeline.runtime.remote_store import store_at
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import HINT, MANIFEST, REPORT, Identity, write_json
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.task import Budget, Job, Task
from pipeline.tasks import check_options, find_task, hidden
from stages import safe_files
from stages.checkpoint import Checkpoints
from stages.errors import DISK_FULL, FitError, UnlayerError, UsageError
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable
from stages.media.trial import try_files
from stages.optim.threads import one_thread_an_operation


def run(settings: Settings) -> int:
    """Does the run and returns the exit status 0. Raises UnlayerError for all that the user can mend."""
    out, whole = perform(settings, reporter(json_lines=settings.json, quiet=settings.no_progress))
    if whole is None:
        announce_unchanged(settings, out)
    else:
        summarise(settings, out, whole)
    return 0


@one_thread_an_operation(cores)
def perform(settings: Settings, shown: Reporter) -> tuple[Path, Mapping[str, object] | None]:
    """The run itself, which prints nothing: its folder and its manifest; ``None`` where it was finished already. Raises UnlayerError."""
    budget = Budget(settings.max_seconds)
    task = find_task(settings.task)
    check_options(task, settings)
    device = pick_device(settings.device)
    stages = Stages(shown)
    for told in filter(None, (hidden(task.name), device_warning(settings, task, device))):
        stages.warn(told)
    out = settings.out or default_folder(settings)
    if any(out.resolve() == path.resolve() for path in settings.inputs):
        raise UsageError(f"{out}: is the input itself; choose another --out")
    try:
        with stages.stage("open"):
            clip = open_checked(settings)
            for warning in input_warnings(settings):
                stages.warn(warning)
        inputs = Unchanged([*clip.paths, *filter(None, [settings.hint])])
        with claim(out) as folder, explained(clip, folder, device):
            with stages.stage("checksum"):
                sums = manifest.checksums(settings.inputs, clip)
            inputs.known_as(sums if tuple(settings.inputs) == clip.paths else [])
            identity = manifest.identity(settings, sums)
            if not prepare(folder, identity, settings, task):
                return out, None
            if folder.restarted:
                stages.warn(RESTARTED)
            for note in notes_of(clip.info, settings):
                stages.warn(note)
            with tidied(folder):
                keep = checkpoints(folder, identity, settings.store)
                stages.check = inputs.check
                result = going_on(
                    task.run,
                    Job(clip, settings, device, folder.work, stages, budget, keep),
                    folder.forget,
                    inputs,
                )
                inputs.check()
                for note in alpha_note(clip):
                    stages.warn(note)
                if clip.salvaged is not None:
                    stages.warn(
                        f"{printable(clip.info.path)}: is damaged; {clip.salvaged} frames of it could be decoded"
                    )
                if (late := overrun_warning(settings, budget.spent())) is not None:
                    stages.warn(late)

                def described(
                    names: Sequence[str] = (), thumbnail: str | None = None
                ) -> dict[str, object]:
                    return manifest.build(
                        settings,
                        sums,
                        clip.info,
                        result,
                        device=device,
                        seconds=budget.spent(),
                        stages=stages.seconds,
                        warnings=stages.warnings,
                        report_files=names,
                        thumbnail=thumbnail,
                        hint_sha256=identity.get(HINT),
                    )

                whole, names = with_report(
                    described,
                    clip,
                    folder.work,
                    stages,
                    settings,
                    manifest.describe_fits(result.fits),
                )
                own = [folder.work / name for name in names]
                folder.publish(
                    [*(layer.path for layer in result.layers), *result.sheets, *own],
                    whole,
                    identity,
                )
    finally:
        stages.shown.close()
    return out, whole


def version_fingerprint() -> list[str]:
    """The versions of the method and of PyTorch: another one may come to other layers, so it cannot go on where one stopped."""
    return [__version__, torch.__version__]


def request_of(settings: Settings) -> Request:
    """Return what the settings ask for where there is a run in the folder already."""
    return Request.of(resume=settings.resume, overwrite=settings.overwrite, anew=settings.anew)


def prepare(
    folder: RunFolder,
    identity: Identity,
    settings: Settings,
    task: Task,
    *,
    elsewhere: bool = False,
) -> bool:
    """:meth:`pipeline.runtime.run_folder.RunFolder.prepare` for a run of ``task`` with these settings."""
    return folder.prepare(
        identity,
        request_of(settings),
        roles=task.roles,
        about={
            "versions": version_fingerprint(),
            "names": [path.name for path in settings.inputs],
            STATES: states_of(settings.inputs),
        },
        elsewhere=elsewhere,
    )


def with_report(
    described: Callable[..., dict[str, object]],
    clip: Clip,
    work: Path,
    stages: Stages,
    settings: Settings,
    losses: Mapping[str, object],
) -> tuple[dict[str, object], list[str]]:
    """Makes the report in the work folder. Returns the manifest and the names of the report's files.

    The layers are done: whatever goes wrong here is a warning.
    """
    from pipeline import report

    try:
        write_json(work / report.LOSSES, losses)
        with stages.stage("report") as step:
            made = report.attach(
                described(), losses, clip, work, step, seconds=settings.max_seconds
            )
        names = [report.LOSSES, *made.files]
        whole = described(names, made.made.thumbnail)
        made.write(whole)
        return whole, names
    except Exception as error:
        safe_files.remove(work / REPORT)
        safe_files.remove(work / report.PAGE)
        names = [report.LOSSES] if (work / report.LOSSES).exists() else []
        why = str(error) if isinstance(error, UnlayerError) else f"{type(error).__name__}: {error}"
        stages.warn(
            f"the layers are done, but report.html could not be made ({why}); python -m pipeline report tries again"
        )
        return described(names), names


def checkpoints(folder: RunFolder, identity: Identity, store: str | None = None) -> Checkpoints:
    """Where the run keeps what a resumed one goes on from.

    store: URL of shared storage that is sent what is kept, as soon as it is.
    """
    whose = json.dumps([identity, *version_fingerprint()], sort_keys=True)
    kept = Checkpoints(folder.kept, hashlib.sha256(whose.encode()).hexdigest())
    if store:
        kept.after = partial(store_at(store).send_kept, folder.path)
    return kept


@contextmanager
def tidied(folder: RunFolder) -> Iterator[None]:
    """Stopped, by a signal or an error, a run leaves what ``--resume`` needs, and no half file; where nothing was kept, nothing."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = (
            "stopped; the same command with --resume goes on, with --overwrite it begins anew",
        )
        raise
    except InputChangedError as error:
        if error.mixed:
            folder.forget()
        folder.tidy()
        raise
    except BaseException:
        folder.tidy()
        raise


@contextmanager
def explained(clip: Clip, folder: RunFolder, device: torch.device) -> Iterator[None]:
    """Faults of the fit, of the GPU's memory and of the disk become one line that names the input or the folder, and what to do."""
    name = printable(clip.info.path)
    try:
        yield
    except FitError as error:
        raise UnlayerError(f"{name}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise UnlayerError(
            f"{name}: {device} has not memory enough for it; choose --preset fast or --device cpu"
        ) from error
    except (MemoryError, RuntimeError) as error:
        # So PyTorch says it of the machine's own memory.
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        raise UnlayerError(
            f"{name}: out of memory; close other programs, choose --preset fast, or take a part with --start and --end"
        ) from error
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        folder.tidy()
        why = error.strerror or "the disk is full"
        raise UnlayerError(
            f"{printable(folder.path)}: cannot be written ({why}); free some space there and go on with --resume, or choose another --out"
        ) from error


def open_checked(settings: Settings) -> Clip:
    """The open clip. Raises where the settings cannot fit it, as far as its header tells: before anything heavy is done."""
    check_inputs(settings.inputs)
    hints = [settings.hint] if settings.hint is not None else []
    try_files(settings.inputs, stream=settings.stream, max_pixels=settings.max_pixels)
    try_files(hints, max_pixels=settings.max_pixels)
    clip = open_clip(
        settings.inputs,
        stream=settings.stream,
        salvage=settings.salvage,
        start=settings.start,
        end=settings.end,
        max_pixels=settings.max_pixels,
        interlaced=settings.interlaced,
    )
    info, name = clip.info, printable(clip.info.path)
    check_fit(settings, info)
    seconds = (
        float(info.frames / info.rate)
        if info.frames
        else float(info.seconds)
        if info.seconds
        else None
    )
    # Headers are not exact: a little grace, the decoded count decides later.
    if seconds is not None and settings.start is not None and settings.start > seconds + 1:
        raise UsageError(
            f"--start {float(settings.start):g} is behind the end of {name}, which lasts {seconds:.3g} s"
        )
    for first, last in settings.transition:
        if info.frames and last > 1.02 * info.frames + 2:
            raise UsageError(
                f"--transition {first}:{last} is not inside {name}, which has {info.frames} frames (0 to {info.frames - 1})"
            )
        # Matroska does not count its frames, and its rate may vary.
        if (
            not info.frames
            and seconds is not None
            and last > (about := seconds * float(info.rate)) * 1.5 + 2
        ):
            raise UsageError(
                f"--transition {first}:{last} is not inside {name}, which lasts {seconds:.3g} s, about {about:.0f} frames"
            )
    return clip


def default_folder(settings: Settings) -> Path:
    """``<stem>-<task>`` in the current folder, for the first input."""
    first = settings.inputs[0]
    stem = first.resolve().name if first.is_dir() else first.stem
    return Path(f"./{short_name(stem) or 'clip'}-{settings.task}")


def short_name(name: str) -> str:
    """A name that leaves room for more within the 255 bytes of a folder's name."""
    return name.encode(errors="surrogateescape")[:200].decode(errors="ignore")


def pick_device(word: str) -> torch.device:
    """The device that ``--device`` names; ``auto`` is CUDA where there is a GPU, else the CPU. Raises UsageError where it is missing.

    MPS is taken only where it is asked for: nothing here could be measured on it.
    """
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = torch.device(word)
    if made.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UsageError(
                f"--device {word}: there is no CUDA GPU that PyTorch {torch.__version__} can use; choose --device cpu"
            )
        if made.index is not None and made.index >= count:
            raise UsageError(
                f"--device {word}: there are {count} GPUs, numbered from 0; choose a lower number"
            )
    if made.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this machine has no Metal GPU; choose --device cpu")
    return made


def announce_unchanged(settings: Settings, out: Path) -> None:
    """Says that there was nothing to do."""
    if settings.json:
        tell("done", out=str(out), manifest=str(out / MANIFEST), unchanged=True)
    else:
        Console().print(
            f"{printable(out)}: this run is finished already; --overwrite does it again",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def summarise(settings: Settings, out: Path, whole: Mapping[str, object]) -> None:
    """The table at the end: what was made, and where it lies."""
    layers, report = whole["layers"], whole["report"]
    assert isinstance(layers, list) and isinstance(report, dict)
    if settings.json:
        tell(
            "done",
            out=str(out),
            manifest=str(out / MANIFEST),
            unchanged=False,
            layers=layers,
            seconds=report["seconds"],
            warnings=whole["warnings"],
        )
        return
    console = Console()
    table = Table("layer", "role", "frames", "file", title=None)
    for layer in layers:
        first, last = layer["first_frame"], layer["last_frame"]
        table.add_row(
            layer["name"],
            layer["role"],
            f"{first} to {last}" if last > first else f"{first}",
            layer["path"],
        )
    console.print(table)
    if isinstance(account := report.get("account"), str):
        console.print(account, markup=False, highlight=False, soft_wrap=True)
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report["stages"].items())
    console.print(
        f"{report['seconds']:.1f} s ({stages}) on {report['device']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"written to {printable(out)}", markup=False, highlight=False, soft_wrap=True)
