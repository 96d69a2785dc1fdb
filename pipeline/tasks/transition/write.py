"""Write all layers of a clip in one pass: scenes, mattes, and mixed frames as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.runtime.layer_format import layer_format
from pipeline.runtime.layer_warnings import joined_warnings
from pipeline.runtime.progress import Step
from pipeline.runtime.run_record import WRITTEN
from pipeline.runtime.sequences import link_layer
from pipeline.task import FrameWatch, Job, Result, WrittenLayer
from pipeline.tasks.transition.confidence import SCENE_CONFIDENCE, scene_confidence
from pipeline.tasks.transition.describe import MIXED, scene_name
from pipeline.tasks.transition.search import SearchResult
from pipeline.tasks.transition.separate import SeparatedTransition
from stages.context import confidence_name
from stages.errors import UnlayerError
from stages.media.clip import Frames
from stages.media.formats import LayerFormat, encoding_for
from stages.media.sniff import printable
from stages.media.stored_frame import StoredFrame
from stages.media.write import LayerWriter
from stages.optim.threads import read_ahead
from stages.shots import Analysis
from stages.storage import safe_files
from stages.storage.checkpoint import Checkpoints


@dataclass
class _PlannedLayer:
    """A layer that is to be written.

    first, last: the frames it covers, inclusive.
    pixels: returns one of its frames, ``(1, 3, H, W)`` in [0, 1], given the frame's number; None
        where it is the clip's own frame.
    sound: whether it gets the input's audio and subtitles.
    data: whether its values are not colours.
    """

    name: str
    role: str
    first: int
    last: int
    pixels: Callable[[int], torch.Tensor | None]
    sound: bool = True
    data: bool = False


@dataclass
class _LayerFile:
    """The file of a complete layer.

    name: in its folder. pattern, sounds: of a sequence, the names of its files, and those of its
    audio beside it.
    """

    name: str
    pattern: str
    sounds: Sequence[str]

    @classmethod
    def of(cls, writer: LayerWriter) -> _LayerFile:
        """Return what a writer has written."""
        return cls(writer.path.name, writer.pattern, [sound.name for sound in writer.sounds])


def write_layers(
    job: Job,
    separated: Sequence[SeparatedTransition],
    searched: SearchResult,
    entries: Sequence[Mapping[str, object]],
    step: Step,
) -> list[WrittenLayer]:
    """Write all layers in one pass over the clip.

    separated: the transitions that were separated. searched: what the search found. entries: what
    the manifest says of all transitions. step: gets the progress.
    A layer that is complete is kept, so that a resumed run begins with the first that is not.
    Clean frames pass through unchanged; the others come from ``separated``.
    Raises UnlayerError where the clip has become shorter.
    """
    writing = _Writing(job, searched, entries)
    planned = _planned_layers(searched.analysis, separated)
    if job.settings.confidence:
        size = job.clip.info.height, job.clip.info.width
        planned += [
            _confidence_layer(searched.analysis, separated, shot, size)
            for shot in range(len(searched.analysis.shots))
        ]
    writing.run(sorted(planned, key=lambda layer: layer.first), step)
    for layer in writing.layers:
        for path in (layer.path, *layer.sounds):
            if not path.exists():
                link_layer(writing.kept.folder / path.name, path)
    return writing.layers


class _Writing:
    """One pass over the clip that writes layers.

    kept: the checkpoints of complete layers; their files lie in its folder.
    layers: the complete layers, in the order in which they were completed.
    """

    def __init__(
        self, job: Job, searched: SearchResult, entries: Sequence[Mapping[str, object]]
    ) -> None:
        self.job = job
        self.searched = searched
        self.watch: FrameWatch | None = None
        self._entries = entries
        self.kept: Checkpoints = job.checkpoints.namespace(WRITTEN)
        self.layers: list[WrittenLayer] = []
        self._warnings: list[tuple[str, Sequence[str]]] = []
        self._waiting: list[_PlannedLayer] = []
        self._open: list[tuple[_PlannedLayer, LayerWriter, ExitStack]] = []

    def run(self, planned: Sequence[_PlannedLayer], step: Step) -> None:
        """Write the planned layers, which are sorted by their first frame."""
        times, first = self.searched.times, self.searched.first
        self._waiting = [layer for layer in planned if not self._take_kept(layer)]
        with ExitStack() as stack:
            # A resumed run does not see the frames of the layers that are complete.
            if not self.layers and self._waiting and self.job.watch is not None:
                self.watch = self.job.watch
                stack.callback(self.watch.close)
                self.watch.begin(self._planned_result(), lambda number: times[number - first])
            begin = self._waiting[0].first if self._waiting else 0
            stored = self.job.clip.stored_frames(begin) if self._waiting else ()
            for frame in read_ahead(stored):
                if self.watch is not None:
                    self.watch.add_input(frame)
                while self._waiting and self._waiting[0].first <= frame.index:
                    self._begin(self._waiting.pop(0), stack)
                self._write_frame(frame)
                done = frame.index + 1
                step(
                    (done - first) / len(times),
                    f"frame {done} of {self.searched.analysis.frames}",
                )
            if self.watch is not None:
                self.watch.end()
        for warning in joined_warnings(self._warnings):
            self.job.stages.warn(warning)
        if self._waiting or self._open:
            raise UnlayerError(
                f"{printable(self.job.clip.info.path)}: gave fewer frames on the second reading "
                "than on the first; is it still being written?"
            )

    def _planned_result(self) -> Result:
        """Return what the run will have made when all waiting layers are written."""
        info = self.job.clip.info
        suffixes = [encoding_for(info, self._format(layer)).suffix for layer in self._waiting]
        layers = [
            _written(layer, self.job.work, layer.name + suffix)
            for layer, suffix in zip(self._waiting, suffixes, strict=True)
        ]
        return Result(tuple(layers), transitions=tuple(self._entries))

    def _format(self, layer: _PlannedLayer) -> LayerFormat:
        """Return how a layer is written."""
        info = self.job.clip.info
        return layer_format(
            self.job.settings,
            info,
            picture=info.is_picture and layer.first == layer.last,
            data=layer.data,
            gray=layer.data,
        )

    def _take_kept(self, layer: _PlannedLayer) -> bool:
        """Take over a layer that a run before this one completed; return whether there is one.

        Raises CheckpointError where its file was changed.
        """
        known = self.kept.newest(layer.name)
        # Without hard links a layer was moved away; then it is written again.
        if known is None or not os.path.lexists(self.kept.folder / known[0]):
            return False
        file_name, warnings, checksum, *of_sequence = known
        pattern, sounds = of_sequence or ("", ())
        for name, expected in ((file_name, checksum), *sounds):
            self.kept.verify(name, expected)
        file = _LayerFile(file_name, pattern, [name for name, _ in sounds])
        self._complete(layer, file, warnings)
        return True

    def _keep(self, layer: _PlannedLayer, writer: LayerWriter) -> None:
        """Note a complete layer in the checkpoints, for :meth:`_take_kept` of a resumed run.

        The entry is the file's name, the warnings and the checksum; that of a sequence also has the
        pattern, and name and checksum of each sound.
        """
        of_sequence: tuple[object, ...] = ()
        if writer.pattern:
            sounds = [(path.name, safe_files.checksum(path)) for path in writer.sounds]
            of_sequence = (writer.pattern, sounds)
        checksum = safe_files.checksum(writer.path)
        self.kept.save(layer.name, (writer.path.name, writer.warnings, checksum, *of_sequence))

    def _begin(self, layer: _PlannedLayer, stack: ExitStack) -> None:
        """Open the file of a layer."""
        clip, settings = self.job.clip, self.job.settings
        times, first = self.searched.times, self.searched.first
        after = layer.last + 1 - first
        end = times[after] if after < len(times) else times[-1] + 1 / clip.info.rate
        # Complete layers are kept, unless shared storage would get them twice: once as a part
        # of an interrupted run and once as the finished run's layer.
        folder = self.job.work
        if settings.store is None:
            folder = self.kept.folder
            folder.mkdir(parents=True, exist_ok=True)
        writer = LayerWriter(
            folder / layer.name,
            clip.info,
            self._format(layer),
            source=clip.source_span(times[layer.first - first], end, tracks=layer.sound),
            first_frame=layer.first,
        )
        closing = stack.enter_context(ExitStack())
        self._open.append((layer, closing.enter_context(writer), closing))

    def _write_frame(self, frame: StoredFrame) -> None:
        """Write one frame of the clip to all open layers, and close those that are complete."""
        for layer, writer, closing in list(self._open):
            pixels = layer.pixels(frame.index)
            if self.watch is not None:
                self.watch.add_layer(layer.name, frame, pixels)
            if pixels is None:
                writer.write_stored(frame)
            else:
                writer.write(Frames(pixels, (frame.time,), frame.index))
            if frame.index < layer.last:
                continue
            closing.close()
            self._open.remove((layer, writer, closing))
            self._complete(layer, _LayerFile.of(writer), writer.warnings)
            if self.job.settings.store is None:
                self._keep(layer, writer)

    def _complete(self, layer: _PlannedLayer, file: _LayerFile, warnings: Sequence[str]) -> None:
        """Add a complete layer."""
        written = _written(layer, self.job.work, file.name)
        sounds = tuple(self.job.work / name for name in file.sounds)
        self.layers.append(replace(written, pattern=file.pattern, sounds=sounds))
        self._warnings.append((layer.name, warnings))


def _written(layer: _PlannedLayer, work: Path, file_name: str) -> WrittenLayer:
    """Return what a layer is once it is written. work: the folder. file_name: in it."""
    return WrittenLayer(
        name=layer.name,
        role=layer.role,
        path=work / file_name,
        first_frame=layer.first,
        last_frame=layer.last,
        data=layer.data,
    )


def _planned_layers(
    analysis: Analysis, separated: Sequence[SeparatedTransition]
) -> list[_PlannedLayer]:
    """Return all layers of the clip: its scenes, and what its transitions have beside them."""
    scenes = [_scene(analysis, separated, shot) for shot in range(len(analysis.shots))]
    mattes = [_matte(item) for item in separated if item.entry["matte"] is not None]
    return scenes + mattes + [_mixed(item) for item in separated if MIXED in item.entry]


def _scene(
    analysis: Analysis, separated: Sequence[SeparatedTransition], shot: int
) -> _PlannedLayer:
    """Return the layer of one shot."""
    touching = _touching(separated, shot)

    def pixels(number: int) -> torch.Tensor | None:
        for item in touching:
            if item.transition.first_frame <= number <= item.transition.last_frame:
                side = "outgoing" if item.transition.outgoing == shot else "incoming"
                return item.frames(side, number, number)
        return None

    return _PlannedLayer(scene_name(shot), "scene", *analysis.covered(shot), pixels)


def _touching(separated: Sequence[SeparatedTransition], shot: int) -> list[SeparatedTransition]:
    """Return the transitions at the two ends of a shot."""
    return [
        item for item in separated if shot in (item.transition.outgoing, item.transition.incoming)
    ]


def _confidence_layer(
    analysis: Analysis,
    separated: Sequence[SeparatedTransition],
    shot: int,
    size: tuple[int, int],
) -> _PlannedLayer:
    """Return the grey layer, ``size`` ``(H, W)``, with the confidence of each pixel of one shot."""
    touching = _touching(separated, shot)

    def pixels(number: int) -> torch.Tensor:
        for item in touching:
            if item.transition.first_frame <= number <= item.transition.last_frame:
                is_outgoing = item.transition.outgoing == shot
                confidence = scene_confidence(item, number, number, outgoing=is_outgoing)
                return confidence.expand(1, 3, *size).contiguous()
        return torch.ones(1, 3, *size)

    name = confidence_name(scene_name(shot))
    covered = analysis.covered(shot)
    return _PlannedLayer(name, SCENE_CONFIDENCE, *covered, pixels, sound=False, data=True)


def _matte(item: SeparatedTransition) -> _PlannedLayer:
    """Return the layer of a transition's matte."""

    def pixels(number: int) -> torch.Tensor:
        return item.frames("matte", number, number).expand(-1, 3, -1, -1).contiguous()

    first, last = item.transition.first_frame, item.transition.last_frame
    name = str(item.entry["matte"])
    return _PlannedLayer(name, "matte", first, last, pixels, sound=False, data=True)


def _mixed(item: SeparatedTransition) -> _PlannedLayer:
    """Return the layer with the clip's own frames of a transition that is not taken apart."""
    first, last = item.transition.first_frame, item.transition.last_frame
    return _PlannedLayer(str(item.entry[MIXED]), MIXED, first, last, lambda number: None)
