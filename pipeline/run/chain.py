"""Do several tasks one after another: the main layer of each step is the input of the next one.

Every step is a run of its own, in a folder inside the chain's folder. The chain's manifest is
written last; it lists the steps, and the layers that remain at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.diagnosis.diagnose import as_json, look_at, reasons, tasks_to_do
from pipeline.report.index import write_chain_index
from pipeline.run import execute, manifest
from pipeline.run.chain_folders import (
    add_step_timelines,
    clear_replaced,
    interrupted_steps,
    missing_layers,
    remove_runs,
)
from pipeline.run.chain_plan import (
    check_chain_options,
    check_places,
    is_chain,
    named_folders,
    step_folder,
    step_settings,
    unused_options,
)
from pipeline.run.input_guard import INPUT_STATES, states_of
from pipeline.run.inputs import overrun_warning
from pipeline.run.opening import default_folder, open_checked, pick_device, refuse_input_as_folder
from pipeline.run.summary import show_end, show_line
from pipeline.runtime.progress import Reporter, Stages, reporter
from pipeline.runtime.run_folder import RunFolder, claim, refuse_link
from pipeline.runtime.run_record import HINT, MANIFEST, Identity, read_json
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.task import Budget
from pipeline.tasks import AUTO, DEFAULT_TASK, check_names, find_task, task_names
from stages.errors import UnlayerError, UsageError
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation

NOTHING_FOUND = (
    "nothing was found that a task takes out, so the input is left as it is; "
    "probe shows what was looked for, and --task does a task all the same"
)

Announce = Callable[[str], None]
"""Takes a line that says what is done next, and why."""


def run(settings: Settings) -> int:
    """Do the run, of one task or of several, and return the exit status 0. Raises UnlayerError."""
    if not is_chain(settings):
        return execute.run(settings)

    def announce(text: str) -> None:
        if not settings.quiet and not settings.json:
            show_line(text)

    out, whole = perform(
        settings,
        lambda: reporter(json_lines=settings.json, quiet=settings.hides_progress),
        announce,
    )
    show_end(settings, out, whole)
    return 0


def perform(
    settings: Settings,
    new_reporter: Callable[[], Reporter],
    announce: Announce = lambda text: None,
) -> tuple[Path, Mapping[str, object] | None]:
    """Do the run, of one task or of several, and print nothing but progress.

    new_reporter: returns what shows the progress of one step. Returns the folder and the manifest,
    which is ``None`` where the run was finished already. Raises UnlayerError.
    """
    if not is_chain(settings):
        return execute.perform(settings, new_reporter())
    check_names(settings.task)
    check_chain_options(settings)
    budget = Budget(settings.max_seconds)
    out = settings.out or default_folder(settings)
    refuse_input_as_folder(settings, out)
    stages = Stages(new_reporter())
    try:
        clip = open_checked(settings)
        with claim(out) as folder:
            with stages.stage("checksum"):
                sums = manifest.checksums(settings.inputs, clip)
            identity = manifest.identity(settings, sums)
            for name in named_folders(settings):
                refuse_link(out / name)
            stale = interrupted_steps(out, settings.task)
            if not _prepared(folder, identity, settings):
                missing = missing_layers(out)
                if not missing:
                    add_step_timelines(out, settings, clip.info)
                    return out, None
                if not settings.resume:
                    raise UsageError(
                        f"{out}: this run is finished, but its {missing[0]} is missing; make it "
                        "again with --resume"
                    )
                # Without its manifest the chain counts as begun; its steps are whole or resumed.
                folder.remove([MANIFEST])
                _prepared(folder, identity, settings)
            clear_replaced(folder, settings, identity)
            remove_runs(stale)
            chain = _Chain(settings, clip, folder, budget, stages, sums, new_reporter, announce)
            with _tidied(folder):
                whole = chain.run(identity)
                folder.publish([], whole, identity)
            _write_index(out, whole, stages)
            return out, whole
    finally:
        stages.reporter.close()


def _prepared(folder: RunFolder, identity: Identity, settings: Settings) -> bool:
    """Make the chain's folder ready; return ``False`` where the run is finished already."""
    return folder.prepare(
        identity,
        execute.request_of(settings),
        roles=("sheet",),
        about={
            "versions": execute.version_fingerprint(),
            "names": [path.name for path in settings.inputs],
            INPUT_STATES: states_of(settings.inputs),
        },
    )


@contextmanager
def _tidied(folder: RunFolder) -> Iterator[None]:
    """Clean up after an error that came before any step was begun; keep the rest for --resume."""
    try:
        yield
    except BaseException:
        if not any(entry.is_dir() and entry != folder.work for entry in folder.path.iterdir()):
            folder.tidy()
        raise


@dataclass(frozen=True)
class _Input:
    """The input of a step.

    paths: its files. label: the layer's name where there are several inputs. offset: the number
    that its first frame has in the chain's input.
    """

    paths: tuple[Path, ...]
    label: str = ""
    offset: int = 0


@dataclass
class _Chain:
    """A chain at work, and what its manifest will list."""

    settings: Settings
    clip: Clip
    folder: RunFolder
    budget: Budget
    stages: Stages
    sums: Sequence[str]
    new_reporter: Callable[[], Reporter]
    announce: Announce
    steps: list[dict[str, object]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    frames: int | None = None

    def run(self, identity: Identity) -> dict[str, Any]:
        """Do all steps and return the manifest."""
        diagnoses: list[dict[str, object]] = []
        names = task_names(self.settings.task)
        if self.settings.task == AUTO:
            kept = execute.checkpoints(self.folder, identity)
            names, why, diagnoses = kept.get_or_compute("plan", self._plan)
            for line in why:
                self.announce(line)
            if not names:
                self.stages.warn(NOTHING_FOUND)
            for text in unused_options(self.settings, names):
                self.stages.warn(text)
        inputs = [_Input(tuple(self.settings.inputs))]
        for number, name in enumerate(names, 1):
            share = 1 / len(names) / max(1, len(inputs))
            last = number == len(names)
            inputs = [
                following
                for one in inputs
                for following in self._step(number, name, one, share=share, last=last)
            ]
        return self._manifest(diagnoses, identity)

    def _plan(self) -> tuple[list[str], list[str], list[dict[str, object]]]:
        """Return the tasks to do, a line for each that says why, and the diagnoses as JSON."""
        search = find_task(DEFAULT_TASK).probe
        assert search is not None
        look = look_at(self.clip, self.settings, self.stages)
        with (
            one_thread_an_operation(lambda: min(cores(), self.settings.threads or cores())),
            self.stages.stage("find") as step,
        ):
            diagnosed = search(self.clip, self.settings, step, look)["diagnosed"]
        names = tasks_to_do(diagnosed)
        return names, reasons(diagnosed, names), as_json(diagnosed)

    def _step(
        self, number: int, name: str, given: _Input, *, share: float, last: bool
    ) -> list[_Input]:
        """Do one task on one input; return the inputs of the next step."""
        task = find_task(name)
        folder = step_folder(number, name, given.label)
        refuse_link(self.folder.path / folder)
        if given.offset or given.label:
            check_places(self.settings, task)
        settings = step_settings(
            self.settings,
            task,
            given.paths,
            self.folder.path / folder,
            first=number == 1,
            last=last,
            share=share,
        )
        shown = ", ".join(printable(Path(path.name)) for path in given.paths)
        self.announce(f"{folder}: --task {name} on {shown}")
        out, made = execute.perform(settings, self.new_reporter())
        whole: Any = made if made is not None else read_json(out / MANIFEST)
        if whole is None:
            raise UnlayerError(
                f"{out}: its {MANIFEST} cannot be read; do it again with --overwrite"
            )
        for text in whole["warnings"]:
            # The step has shown it already.
            self.stages.warnings.append(f"{folder}: {text}")
        if number == 1:
            self.frames = whole["input"][0]["frames"]
        self.seconds[folder] = whole["report"]["seconds"]
        self.steps.append(
            {
                "task": name,
                "path": folder,
                "input": [self._relative(path) for path in given.paths],
                "seconds": whole["report"]["seconds"],
            }
        )
        self.transitions += [
            placed_transition(move, folder, given.offset) for move in whole["transitions"]
        ]
        main: list[dict[str, Any]] = []
        rest: list[dict[str, Any]] = []
        for layer in whole["layers"]:
            handed_on = not last and layer["role"] == task.roles[0]
            (main if handed_on else rest).append(layer)
        self.layers += [placed_layer(layer, folder, given.offset) for layer in rest]
        if len(given.paths) > 1 and main:
            # Pictures that were given together stay together.
            return [_Input(tuple(out / layer["path"] for layer in main), given.label)]
        labels = [layer["name"] if len(main) > 1 else given.label for layer in main]
        return [
            _Input((out / layer["path"],), label, given.offset + layer["first_frame"])
            for layer, label in zip(main, labels, strict=True)
        ]

    def _relative(self, path: Path) -> str:
        """Return what the manifest calls an input: a layer of the chain by its path inside it."""
        if path.is_relative_to(self.folder.path):
            return path.relative_to(self.folder.path).as_posix()
        return self.settings.known_as(path)

    def _manifest(
        self, diagnoses: Sequence[Mapping[str, object]], identity: Identity
    ) -> dict[str, Any]:
        """Return the chain's manifest."""
        settings, info = self.settings, self.clip.info
        if late := overrun_warning(settings, self.budget.spent()):
            self.stages.warn(late)
        hint = {HINT: identity[HINT]} if HINT in identity else {}
        return {
            "schema": manifest.SCHEMA,
            "task": settings.task,
            "input": [
                manifest.describe_input(settings.known_as(path), checksum, info, self.frames)
                for path, checksum in zip(settings.inputs, self.sums, strict=True)
            ],
            "settings": settings.kept(),
            **hint,
            "diagnoses": list(diagnoses),
            "steps": self.steps,
            "layers": sorted(self.layers, key=lambda one: (one["first_frame"], one["name"])),
            "transitions": self.transitions,
            "sheets": [],
            "warnings": list(self.stages.warnings),
            "report_files": [],
            "thumbnail": None,
            "report": {
                "seconds": round(self.budget.spent(), 3),
                "stages": {
                    name: round(spent, 3)
                    for name, spent in {**self.stages.seconds, **self.seconds}.items()
                },
                "device": str(pick_device(settings.device)),
                "versions": manifest.versions(),
            },
        }


def placed_layer(layer: Mapping[str, Any], folder: str, offset: int) -> dict[str, Any]:
    """Return a step's entry of a layer as the chain's manifest has it.

    folder: the step's. offset: the number that the step's first frame has in the chain's input.
    """
    placed = {
        **layer,
        "name": f"{folder}/{layer['name']}",
        "path": f"{folder}/{layer['path']}",
        "first_frame": layer["first_frame"] + offset,
        "last_frame": layer["last_frame"] + offset,
    }
    if "sounds" in layer:
        placed["sounds"] = [f"{folder}/{name}" for name in layer["sounds"]]
    return placed


def placed_transition(move: Mapping[str, Any], folder: str, offset: int) -> dict[str, Any]:
    """Return a step's entry of a transition as the chain's manifest has it.

    folder, offset: as of :func:`placed_layer`.
    """
    placed = {
        **move,
        "first_frame": move["first_frame"] + offset,
        "last_frame": move["last_frame"] + offset,
    }
    for side in ("from", "to", "matte"):
        if placed.get(side) is not None:
            placed[side] = f"{folder}/{placed[side]}"
    if placed.get("event"):
        placed["event"] = [number + offset for number in placed["event"]]
    return placed


def _write_index(out: Path, whole: Mapping[str, Any], stages: Stages) -> None:
    """Write the page that leads to the steps' reports. The layers are done: errors only warn."""
    try:
        write_chain_index(out, whole)
    except Exception as error:
        stages.warn(f"the layers are done, but index.html could not be made ({error})")
