"""Hold both scenes through a transition of an unknown kind.

Its frames tell nothing that could be believed of either scene. So the outgoing scene is its last
clean frame, and the incoming scene its first one. A scene without a clean frame is the transition's
own first or last frame. The layers do not mix to the frames, which have to be kept beside them.
"""

from __future__ import annotations

from collections.abc import Callable

from stages.shots import Transition
from stages.transition.direct import mixed_frames
from stages.transition.separated_frame import PutFrame, SeparatedFrame
from stages.transition.window import Window, clean_beside


def hold_scenes(
    window: Window,
    transition: Transition,
    progress: Callable[[float, str], None],
    put: PutFrame,
) -> None:
    """Pass each frame of a transition to ``put``, with the clean frames beside it as its layers.

    window: its frames with clean ones at both sides. progress: takes the fraction done and a note.
    """
    scenes = clean_beside(window, transition)
    for number, frame in mixed_frames(window, transition, progress, "holding clean frames"):
        put(number, SeparatedFrame(frame.clone(), *scenes))
