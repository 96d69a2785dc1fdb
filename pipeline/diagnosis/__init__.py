"""Say what is in a clip: a sample of it, and what each task and each fact of the file says.

``sample`` reads some frames of the clip, and ``diagnose`` asks every task about them (``probe``).
``choose`` chooses from the answers the tasks of a run without ``--task``.
"""
