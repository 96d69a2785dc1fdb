"""Remove a watermark: clean layer, mark and its matte.

Start reading at :mod:`stages.watermark.layers`. The route:

- ``effort`` chooses how much work is done, and ``pictures`` the pictures that are read.
- ``locate`` finds the mark once for the whole clip. It calls ``search``, which tries opacities and
  colours (``hypotheses``) and keeps the mark that explains most of its outline (``evidence``,
  ``texture``; ``find`` cuts the outline). ``repeat`` finds a mark that lies on a grid, ``pieces``
  adds parts of other colours.
- ``tiled`` finds a mark that repeats over one picture: ``lattice`` finds its steps, ``tiles``
  divides the picture and tells a mark from a texture.
- ``known`` finds a mark that the user gives as a picture (``mark_file``): ``register`` looks for
  its place and scale, ``register_fit`` refines them and measures the opacity.
- ``standing`` tells where a mark stands still in a clip while the scene moves past it (``stays``).
- ``presence`` tells in which frames of a clip the mark is shown, and ``quick`` looks for a mark in
  small pictures.
- ``fit`` and ``soft`` draw the mark to the pixel.
- ``layers`` undoes the mark in every frame, ``compression`` takes off the rounding that this
  amplifies, ``fill`` draws what an opaque mark hides, and ``outline`` corrects the soft outline.
- ``notes`` has what the user has to know.
- ``alone`` has the presets that have networks alone, and ``diagnose`` tells ``probe`` of a mark.
"""
