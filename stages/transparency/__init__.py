"""Separate transmission and reflection.

Start reading at :mod:`stages.transparency.layers`, which chooses one of four ways for a window:

- ``by_networks``: the presets that have networks alone.
- ``mixtures``: several pictures of the same two layers.
- ``pictures``: a picture. ``repeats`` separates two repeating textures. ``picture_guess`` guesses a
  reflection from ``contrast``, ``colors`` and ``out_of_focus`` light.
- ``by_motion``: a clip. ``cuts`` splits it into shots. ``clip_evidence`` and ``sum_evidence`` tell
  whether two moving layers add up. ``motion`` tracks both motions, ``registration`` and
  ``window_motions`` make them exact, ``mosaic_search`` and ``mosaic`` fit a picture to each.
  ``clip`` finds both layers of every frame, ``layer_order`` which one is the transmission.
  ``plans`` and ``planning`` say how much work is done.

``removal`` decides how much of a reflection is removed. ``layer_pair`` and ``separated_light`` hold
what all ways share. ``diagnose`` says whether a pane is there.
"""
