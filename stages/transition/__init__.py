"""Separate one transition into its two scenes.

Start reading at :mod:`stages.transition.separate`, which chooses the method. The route of the data:

- ``window`` reads the mixed frames and clean ones around them, and ``bars`` removes a film's bars.
  Every method passes each ``separated_frame`` on.
- Without a fit (all return what ``direct`` defines):

  - ``placed`` moves scenes back that moved as a whole. It measures how far the transition has come
    (``placed_progress``), and fills in what a frame hides with what others showed (``seen_scene``),
    moved as the camera moves (``hidden``). ``fixed_overlay`` and ``over_color`` are special cases.
  - ``filtered`` undoes dissolves of blurred scenes.
  - ``still`` takes scenes that stand still from their clean frames, and so does ``rearranged``
    where the frames show pieces of them at other places.
  - ``held`` holds the clean frames where the kind of transition is not known.

- With a fit, at a working size (all return a ``fitted_transition``, which ``finish`` brings to full
  size):

  - ``by_matte`` finds a hard matte (``any_matte``, ``matte``) and both scenes in turn. What the
    matte hides is kept as it was ``last_seen``.
  - ``alternate`` does as much work as the ``plan`` says: the motion fit
    (:mod:`stages.motion.carry`), the networks (``networks``), the sweeps (``sweep``) and the ties
    (``ties``, ``tie_fit``, ``tie_weights``, ``tie``). ``reconcile`` makes the layers of a step mix
    to the input.

- ``confidence`` says how good a scene is expected to be, and ``seams`` whether it jumps where its
  separated frames begin.
"""
