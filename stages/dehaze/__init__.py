"""Remove haze: clear layer, transmission and airlight.

Start reading at :mod:`stages.dehaze.layers`, which has the steps of a window. The route:

- ``airlight`` estimates the colour of the haze, and ``veil_color`` its tint.
- ``field`` lets that colour vary over the picture. It reads it from opaque haze (``field_by_sky``)
  or from highlights (``field_by_highlights``), and keeps it on the nodes of ``field_grid``.
- ``floors`` measures how dark the darkest things are, and ``evidence`` says how much of what may be
  haze is believed.
- ``veil`` fits the transmission. ``model`` has the equations of haze and the guided filter.
- ``networks_alone`` has the presets without other evidence, and ``diagnose`` says whether haze is
  there.
"""
