"""One run: from the settings to a finished folder.

``chain.run`` is the way in, and prints what was made (``summary``). One task goes straight to
``execute``; several tasks, or ``auto``, are done by ``chain``, which calls ``execute`` once for
each step. ``execute`` uses these modules in turn:

1. ``device`` and ``folder_names`` choose the device and the folder. ``opening`` opens the input.
   ``inputs`` refuses options that do not fit it, and ``input_notes`` says what the layers will not
   keep of it.
2. ``input_guard`` remembers the input's files, to notice if one changes meanwhile.
3. ``restart`` does the task's work, and begins again where checkpoints are damaged.
4. ``manifest`` describes what was made.

``chain_plan`` chooses the options of each step of a chain, ``chain_folders`` looks after the
steps' folders, and ``chain_entries`` moves a step's manifest entries into the chain's manifest.
The folder itself, with its lock and its checkpoints, belongs to :mod:`pipeline.runtime`.
"""
