"""Remove a watermark: clean layer, mark and its matte.

Start reading at :mod:`stages.watermark.survey`, which finds the mark once for a whole clip, and
:mod:`stages.watermark.layers`, which undoes it in every frame. The survey finds

- a mark of which no picture is given: ``unknown_mark`` plans the search, ``search`` tries opacities
  and colours (``hypotheses``) and keeps the mark that gains most (``evidence`` and ``texture``,
  ``gain``), ``full_size_fit`` draws it to the pixel (``mark_fit``), with the parts of other colours
  that one picture (``pieces``) or several (``consensus``) show;
- a mark that the user gives as a picture: ``known_mark``, with the picture (``mark_file``), the
  places where it may lie (``matched_filter``) and their fit (``placement_fit``);
- a mark that is tiled over one picture: ``tiled_mark``, with the steps between its tiles
  (``tile_lattice``), the tiles (``tiling``), and what tells it from a texture (``tile_law``).

``standing_mark`` tells where a mark stands still in a clip (``scene_motion``), ``quick_search``
whether a look at it is worth while, and ``presence`` which frames show it.

All of these share ``mark``, the labelling of pixels (``graph_cut``, ``continuity``), the opacity
and colour that an outline tells (``outline_law``), soft edges (``soft_outline``), the grid on which
a mark may repeat in one picture (``repetition_grid``), and helpers (``pixel_maps``, ``pictures``).

For ``layers``, ``jpeg_rounding`` takes off the rounding that undoing a mark amplifies, ``fill``
draws what an opaque mark hides, and ``outline_correction`` corrects the soft outline. ``notes`` has
what the user has to know, ``effort`` how much work is done, ``networks_alone`` the presets without
other evidence, and ``diagnose`` tells ``probe`` of a mark.
"""
