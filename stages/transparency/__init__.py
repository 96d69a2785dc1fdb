"""Separate transmission and reflection.

Start reading at :mod:`stages.transparency.layers`, which says how the input decides the way:

- ``separations`` has the four ways of separating a window, and ``decision`` says what is done
  without evidence for a reflection.
- Mixtures of the same two layers: ``mixtures``.
- Pictures: ``repeats`` for two repeating textures; ``single`` for a guess, which uses ``contrast``
  and ``colors``.
- Clips: ``motion`` finds two motions, ``mosaic`` and ``clip`` the layers, ``evidence`` whether they
  add up, ``naming`` which one is the transmission, ``plans`` how much work is done.
- ``alone`` has the presets that have networks alone, and ``diagnose`` says whether a pane is there.
"""
