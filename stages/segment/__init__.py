"""Separate foreground, background and matte.

Start reading at :mod:`stages.segment.layers`, which has the steps of a window. The route:

- ``survey`` looks at the whole clip: does anything move, and what does a fixed camera show (the
  ``plate``)?
- ``motion`` finds what moves against the ``camera``.
- ``foreground_odds`` says how likely each pixel is foreground. Its evidence comes from speed
  (``odds_by_speed``), long trajectories (``parallax``), contrast (``odds_by_contrast``), a fixed
  background (``odds_by_background``), the background that other frames show
  (``odds_by_other_frames``) and the window before (``identity``). ``outline_jumps`` chooses between
  two answers. ``votes`` and ``trajectory_labels`` extend the evidence to what looks and moves
  alike, and ``small_movers`` finds what votes lose.
- ``hints`` has all that the user's hints do: it cuts out what they mark, and corrects the matte of
  an earlier run.
- ``networks`` and ``generator_fit`` fit the generators; ``by_networks`` has the presets that have
  nothing else.
- ``cut`` draws the matte's edge and ``soften`` makes it soft. ``background`` looks up what the
  foreground and its ``margins`` hide.
- ``things`` divides the foreground into what moves differently: ``point_tracks`` follows points,
  ``point_evidence`` and ``point_groups`` group them, ``depth_order`` and ``thing_layers`` make
  layers of them.
- ``notes``, ``confidence`` and ``diagnose`` say what was found, and how sure that is.
"""
