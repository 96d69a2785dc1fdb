"""The stages of the pipeline, in the order of the data: read, find, fit, write.

``find`` searches for transitions and ``transition`` takes one apart. Both use ``kinds``, which has
one file for each kind of transition. ``segment``, ``dehaze``, ``watermark`` and ``transparency``
hold the other tasks' methods. ``media``, ``motion``, ``optim``, ``mixing`` and ``storage`` are
shared by all of them, and so are the methods to compare with, ``published`` and ``coupled``. The
task folders do not use each other, except that ``transition`` uses the shapes that ``find`` knows.

Axis convention of the whole package: a stack of frames is a float32 tensor ``(T, C, H, W)``, RGB
in [0, 1], gamma encoded as in the file unless a name says ``linear``. This is checked where data
enters (:class:`stages.media.clip.Frames`) and relied on after that. Stages use ``models``; they
never import ``pipeline``.
"""
