"""The command line: its parser, its help, and the commands that only print.

``main`` runs it. ``word_order`` puts the words of a command in order, and ``parser`` makes settings
of them. ``verbs`` lists the commands, and ``help`` prints their options. ``probe`` and ``doctor``
are commands themselves; ``versions`` belongs to ``doctor``.
"""
