"""What a run stands on: its folder, progress, memory, signals, child processes, storage.

- ``run_folder`` is the folder of one run: what is in it, and how finished files get into it.
- ``folder_lock`` locks it. ``folder_decision`` says what a run does about what is there, and
  ``needed_names`` finds what is in its way.
- ``run_record`` reads and writes ``manifest.json`` and ``run.json``. ``sequences`` handles layers
  that are folders of pictures.
- ``earlier_run`` reads a run that another one refines (``--refine``).
- ``progress`` shows and times the stages of a run. ``console_lines`` prints lines for people.
- ``memory`` and ``system_limits`` say how much memory and how many cores there are, and what to do
  without enough.
- ``signals`` handles Ctrl-C and the like. ``child_process`` starts and stops runs in processes of
  their own.
- ``remote_store`` keeps runs on shared storage (``--store``).
- ``layer_format``, ``layer_warnings`` and ``scratch`` help to write layers.

Nothing here knows a task or a method.
"""
