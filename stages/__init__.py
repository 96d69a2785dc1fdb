"""The stages of the pipeline, in the order of the data: read, find, fit, couple, write.

``find`` searches for transitions, ``transition`` takes one apart; ``segment``, ``dehaze``, ``watermark`` and ``transparency`` are the
other tasks' own. What several of them need lies beside these folders; of each other they use nothing, but ``transition`` what ``find``
knows of shapes.

Axis convention of the whole package: a stack of frames is a tensor ``(T, C, H, W)``, RGB, float32, values in [0, 1], gamma encoded
as in the file unless a name says ``linear``. It is checked where data enters (:class:`stages.media.clip.Frames`) and relied on after that.
Stages use ``models``; they never import ``pipeline``.
"""
