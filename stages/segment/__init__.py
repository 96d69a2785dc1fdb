"""Separate foreground, background and matte.

Start reading at :mod:`stages.segment.layers`, which has the steps of a window. The route:

- ``survey`` looks at the whole clip: does anything move, and what does a fixed camera show?
- ``motion`` finds what moves against the camera.
- ``foreground_odds`` says how likely each pixel is foreground. Its evidence comes from speed
  (``odds_by_speed``), long trajectories (``parallax``), contrast (``odds_by_contrast``), a fixed
  background (``odds_by_background``), the background that other frames show (``behind``) and the
  window before (``identity``). ``votes`` and ``trajectory_labels`` extend it to what looks and
  moves alike.
- ``hints`` has all that the user's hints do: it cuts out what they mark, and corrects the matte of
  an earlier run.
- ``networks`` and ``fit`` fit the generators; ``alone`` has the presets that have nothing else.
- ``cut`` draws the matte's edge and ``soften`` makes it soft. ``background`` looks up what the
  foreground hides.
- ``things``, ``point_tracks``, ``depth_order`` and ``thing_layers`` divide the foreground into what
  moves differently.
- ``account``, ``certainty`` and ``diagnose`` say what was found, and how sure that is.
"""
