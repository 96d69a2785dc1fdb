"""Separate one transition into its two scenes.

Start reading at :mod:`stages.transition.separate`, which chooses the method. The route of the data:

- ``window`` reads the mixed frames and clean ones around them.
- Without a fit: ``placed`` (with ``hidden`` and ``fixed_overlay``) moves scenes back that moved as
  a whole, and ``filtered`` undoes dissolves of blurred scenes. ``still`` takes scenes that stand
  still from their clean frames, and so does ``rearranged`` where the frames show pieces of them at
  other places. All four return what ``direct`` defines.
- With a hard matte: ``by_matte`` finds it (``any_matte``, ``matte``) and both scenes in turn. What
  it hides is kept as it was ``last_seen``.
- With a fit: ``plan`` says how much work is done, and ``alternate`` does it at a working size. Its
  steps are the motion fit (:mod:`stages.motion.carry`), the networks (``networks``), the sweeps
  (``sweep``), and the ties (``ties``, ``tie_fit``, ``tie``). ``reconcile`` makes the layers of a
  step mix to the input.
- ``finish`` brings fitted layers to full size. ``confidence`` says how good a scene is expected to
  be, and ``seams`` whether it jumps where its separated frames begin.
"""
