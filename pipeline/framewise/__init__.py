"""Run tasks that split every frame into the same layers, window by window.

A task is a :class:`pipeline.framewise.recipe.Recipe`: the names of its layers, a function
``survey`` and a function ``separate``. ``run`` takes a clip through these modules in turn:

1. ``limits`` says how many frames a window may have in the memory there is.
2. ``windows`` reads the clip once, for its times and a sample of its frames. ``hint`` checks the
   user's hints against them, and ``hint_contradictions`` against each other.
3. ``survey`` computes from the sample what holds for the whole clip.
4. ``windows`` reads the clip again, window by window, and ``separate`` takes each one apart.
   ``window_checkpoints`` keeps its layers for a resumed run.
5. ``layer_files`` cross-fades windows where they overlap, and writes the layers.

Meanwhile ``findings`` turns the windows' notes into warnings, ``things`` keeps account of the
things of a divided foreground, and ``statistics`` of seconds, figures and losses. Out come the
layers' files in the work folder, a contact sheet, and figures for the manifest.
"""
