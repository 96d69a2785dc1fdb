"""Write what was found as timelines that editing software opens (``--timeline``).

:mod:`pipeline.timeline.build` builds one neutral description of the edit from a manifest or from
what ``probe`` found. Every module of :mod:`pipeline.timeline.formats` that has a ``FORMAT`` writes
it in one format. No format needs a package.
"""
