"""All forms of a layer: each container, and a sequence for each container of pictures."""

from __future__ import annotations

from dataclasses import dataclass

from stages.media.clip import ClipInfo
from stages.media.containers import LAYER_CONTAINERS
from stages.media.containers.base import Encoding, LayerContainer


@dataclass(frozen=True)
class Form:
    """A container, and whether its layer is a sequence of picture files."""

    container: LayerContainer
    sequence: bool = False

    @property
    def single(self) -> bool:
        """Whether it holds one frame only."""
        return self.container.is_pictures and not self.sequence

    @property
    def size(self) -> tuple[int, int]:
        least = self.container.least_size
        return max(48, least[0]), max(64, least[1])

    @property
    def name(self) -> str:
        return "layer" if self.sequence else f"layer{self.container.file_type.suffix}"

    def encoding(self, info: ClipInfo, bits: int = 8, alpha: bool = False) -> Encoding:
        return self.container.encoding(info, bits, alpha, sequence=self.sequence)


FORMS = [Form(item) for item in LAYER_CONTAINERS.values()]
FORMS += [Form(form.container, True) for form in FORMS if form.container.is_pictures]
CLIPS = [form for form in FORMS if not form.single]
VIDEOS = [form for form in FORMS if not form.container.is_pictures]
WITH_ALPHA = [form for form in FORMS if form.container.alpha]


def named(form: Form) -> str:
    return form.container.name + ("-sequence" if form.sequence else "")
