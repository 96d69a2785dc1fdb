"""The search for shots and transitions, one pass over small frames.

The way of a frame (:mod:`search`): :mod:`recent_frames` keeps it, and :mod:`features`,
:mod:`optical_flow` and :mod:`correlation` measure it.
:mod:`cuts` finds hard cuts. :mod:`gradual_transitions` proposes windows that may hold a mixture or
a wipe, :mod:`examine` decides, and :mod:`fit` measures ends and weights. :mod:`cut_off` looks for
transitions that overlap, or of which the clip has a part alone. :mod:`boundaries` finds where the
picture changes for good, and :mod:`boundary_kinds` in which way. :mod:`stills` looks between scenes
that stand still. :mod:`found_events` collects what was found, and :mod:`timeline` makes shots and
transitions of it.
"""
