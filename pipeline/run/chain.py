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

from pipeline.diagnosis.choose import NOTHING_FOUND, choose_tasks
from pipeline.report.index import write_chain_index
from pipeline.run import execute, manifest
from pipeline.run.chain_entries import placed_layer, placed_transition
from pipeline.run.chain_folders import (
    add_step_timelines,
    clear_replaced,
    interrupted_steps,
    missing_layers,
    remove_runs,
)
from pipeline.run.chain_plan import (
    StepPlace,
    check_chain_options,
    check_frame_options,
    is_chain,
    named_folders,
    step_folder,
    step_settings,
    unused_options,
)
from pipeline.run.device import pick_device
from pipeline.run.folder_names import default_folder, refuse_input_as_folder
from pipeline.run.inputs import overrun_warning
from pipeline.run.opening import open_checked
from pipeline.run.summary import show_end
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import Reporter, Stages, reporter
from pipeline.runtime.run_folder import RunFolder, claim, refuse_link
from pipeline.runtime.run_record import HINT, MANIFEST, SCHEMA, Identity, read_json
from pipeline.settings import Settings
from pipeline.task import Budget
from pipeline.tasks import AUTO, check_names, find_task, task_names
from stages.errors import UnlayerError, UsageError
from stages.media.read import Clip
from stages.media.sniff import printable

Announce = Callable[[str], None]
"""Takes a line that says what is done next, and why."""


def run(settings: Settings) -> int:
    """Do the run, of one task or of several, and return the exit status 0. Raises UnlayerError."""

    def announce(text: str) -> None:
        if not settings.quiet and not settings.json:
            print_line(text)

    out, contents = perform(
        settings,
        lambda: reporter(json_lines=settings.json, quiet=settings.hides_progress),
        announce,
    )
    show_end(settings, out, contents)
    return 0


def perform(
    settings: Settings,
    new_reporter: Callable[[], Reporter],
    announce: Announce = lambda text: None,
) -> execute.PerformedRun:
    """Do the run, of one task or of several, and print nothing but progress. Raises UnlayerError.

    new_reporter: returns what shows the progress of one step.
    announce: gets a line about each step of a chain before it begins.
    """
    if is_chain(settings):
        return _perform_chain(settings, new_reporter, announce)
    return execute.perform(settings, new_reporter())


def _perform_chain(
    settings: Settings, new_reporter: Callable[[], Reporter], announce: Announce
) -> execute.PerformedRun:
    """Do all steps of a chain in its folder; see :func:`perform`."""
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
            if not _prepare(folder, identity, settings):
                add_step_timelines(out, settings, clip.info)
                return execute.PerformedRun(out, None)
            chain = _Chain(
                settings=settings,
                clip=clip,
                folder=folder,
                budget=budget,
                stages=stages,
                sums=sums,
                new_reporter=new_reporter,
                announce=announce,
            )
            with _tidying_unless_begun(folder):
                contents = chain.run(identity)
                folder.publish([], contents, identity)
            _write_index(out, contents, stages)
            return execute.PerformedRun(out, contents)
    finally:
        stages.reporter.close()


def _prepare(folder: RunFolder, identity: Identity, settings: Settings) -> bool:
    """Make the chain's folder ready, and remove what the new chain replaces.

    Returns ``False`` where the run is finished already and all of its layers are there. Raises
    UsageError where layers are missing and ``--resume`` was not given.
    """
    for name in named_folders(settings):
        refuse_link(folder.path / name)
    stale_steps = interrupted_steps(folder.path, settings.task)
    if not _prepare_folder(folder, identity, settings):
        missing = missing_layers(folder.path)
        if not missing:
            return False
        if not settings.resume:
            raise UsageError(
                f"{folder.path}: this run is finished, but its {missing[0]} is missing; make it "
                "again with --resume"
            )
        # Without its manifest the chain counts as begun. Each step is then resumed or left as is.
        folder.remove([MANIFEST])
        _prepare_folder(folder, identity, settings)
    clear_replaced(folder, settings, identity)
    remove_runs(stale_steps)
    return True


def _prepare_folder(folder: RunFolder, identity: Identity, settings: Settings) -> bool:
    """Do :meth:`RunFolder.prepare` for a chain; return ``False`` where the run is finished."""
    return folder.prepare(
        identity,
        execute.request_of(settings),
        roles=("sheet",),
        about=execute.record_about(settings),
    )


@contextmanager
def _tidying_unless_begun(folder: RunFolder) -> Iterator[None]:
    """Clean up after an error, unless a step has begun, which ``--resume`` then continues."""
    try:
        yield
    except BaseException:
        if not any(entry.is_dir() and entry != folder.work for entry in folder.path.iterdir()):
            folder.tidy()
        raise


@dataclass(frozen=True)
class _StepInput:
    """One input of a step. A step is done once on each of its inputs.

    paths: the input's files. label: the name of the layer that it is, where the step has several
    inputs. offset: the number that its first frame has in the chain's input.
    """

    paths: tuple[Path, ...]
    label: str = ""
    offset: int = 0


@dataclass
class _Chain:
    """A chain that is being done, and what its manifest will list.

    sums: the SHA-256 of each of the chain's inputs. steps, layers, transitions: the manifest's
    entries so far. seconds: of each step, by its folder. frames: of the chain's input, where known.
    """

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
        names = task_names(self.settings.task)
        diagnoses: list[dict[str, object]] = []
        if self.settings.task == AUTO:
            names, diagnoses = self._chosen_tasks(identity)
        inputs = [_StepInput(tuple(self.settings.inputs))]
        for number, name in enumerate(names, 1):
            share = 1 / len(names) / max(1, len(inputs))
            place = StepPlace(number == 1, number == len(names), share)
            outputs: list[_StepInput] = []
            for step_input in inputs:
                outputs += self._do_step(number, name, step_input, place)
            inputs = outputs
        return self._manifest(diagnoses, identity)

    def _chosen_tasks(self, identity: Identity) -> tuple[list[str], list[dict[str, object]]]:
        """Return the tasks that the diagnoses choose, and the diagnoses; say why and warn."""
        kept = execute.checkpoints(self.folder, identity)
        names, why, diagnoses = kept.get_or_compute(
            "plan", lambda: choose_tasks(self.clip, self.settings, self.stages)
        )
        for line in why:
            self.announce(line)
        if not names:
            self.stages.warn(NOTHING_FOUND)
        for text in unused_options(self.settings, names):
            self.stages.warn(text)
        return names, diagnoses

    def _do_step(
        self, number: int, name: str, step_input: _StepInput, place: StepPlace
    ) -> list[_StepInput]:
        """Do one task on one input, and return the inputs of the next step.

        number: of the step, from 1. place: of the step in the chain.
        """
        task = find_task(name)
        folder = step_folder(number, name, step_input.label)
        refuse_link(self.folder.path / folder)
        if step_input.offset or step_input.label:
            check_frame_options(self.settings, task)
        step_out = self.folder.path / folder
        settings = step_settings(self.settings, task, step_input.paths, step_out, place)
        shown = ", ".join(printable(Path(path.name)) for path in step_input.paths)
        self.announce(f"{folder}: --task {name} on {shown}")
        out, written = execute.perform(settings, self.new_reporter())
        contents: Any = written if written is not None else read_json(out / MANIFEST)
        if contents is None:
            raise UnlayerError(
                f"{out}: its {MANIFEST} cannot be read; do it again with --overwrite"
            )
        if place.is_first:
            self.frames = contents["input"][0]["frames"]
        handed_on_role = None if place.is_last else task.roles[0]
        self._record_step(name, folder, step_input, contents, handed_on_role)
        handed_on = [layer for layer in contents["layers"] if layer["role"] == handed_on_role]
        return _next_inputs(out, step_input, handed_on)

    def _record_step(
        self,
        name: str,
        folder: str,
        step_input: _StepInput,
        contents: Mapping[str, Any],
        handed_on_role: str | None,
    ) -> None:
        """Add a finished step to the chain's manifest.

        contents: the step's manifest. handed_on_role: of the layers that the next step reads; they
        are not layers of the chain.
        """
        # The step has shown its warnings already, so they are only recorded.
        self.stages.warnings += [f"{folder}: {text}" for text in contents["warnings"]]
        self.seconds[folder] = contents["report"]["seconds"]
        self.steps.append(
            {
                "task": name,
                "path": folder,
                "input": [self._relative(path) for path in step_input.paths],
                "seconds": contents["report"]["seconds"],
            }
        )
        self.transitions += [
            placed_transition(entry, folder, step_input.offset) for entry in contents["transitions"]
        ]
        self.layers += [
            placed_layer(layer, folder, step_input.offset)
            for layer in contents["layers"]
            if layer["role"] != handed_on_role
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
            "schema": SCHEMA,
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


def _next_inputs(
    out: Path, step_input: _StepInput, layers: Sequence[Mapping[str, Any]]
) -> list[_StepInput]:
    """Return the inputs that a step hands on.

    out: the step's folder. step_input: what the step was done on. layers: the entries of the layers
    that it hands on, in its own manifest.
    """
    if len(step_input.paths) > 1 and layers:
        # Pictures that were given together stay together.
        return [_StepInput(tuple(out / layer["path"] for layer in layers), step_input.label)]
    return [
        _StepInput(
            (out / layer["path"],),
            layer["name"] if len(layers) > 1 else step_input.label,
            step_input.offset + layer["first_frame"],
        )
        for layer in layers
    ]


def _write_index(out: Path, contents: Mapping[str, Any], stages: Stages) -> None:
    """Write the page that links to the steps' reports; an error only warns.

    contents: of the chain's manifest.
    """
    try:
        write_chain_index(out, contents)
    except Exception as error:
        stages.warn(f"the layers are done, but index.html could not be made ({error})")
