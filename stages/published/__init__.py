"""Double-DIP as published (Gandelsman, Shocher and Irani, CVPR 2019), for ``--preset paper``.

One file holds one task's method: its networks, noise, losses, weights, stages and restarts. Every
number comes from the paper or from facts of the released code, and a test holds it
(``tests/stages/published``). What the publication leaves open is decided in ``docs/paper.md``.

``networks`` and ``fit`` are what all tasks share: networks of one shape or another on noise, Adam
at a constant rate, and the snapshot with the best reconstruction. No published fit has a search,
motion, or a cut behind it. Schedules are functions of progress, so that a fit with fewer steps goes
through the same phases.
"""
