"""Write ``report.html``: a run on one page, with all files that it needs in the run's folder.

``attach`` makes it as a part of a run, and ``again`` once more for a finished one (the command
``report``). ``index`` makes the page of a batch. The way of a run's page:

1. ``facts`` reads and checks the manifest. ``earlier`` finds the input in the report before, if the
   input itself is gone.
2. ``contents`` assembles the files: the players (``tracks``), with previews by ``media`` and
   stills by ``pictures``. What of it can be made while the layers are written, ``watch`` makes.
3. ``page`` fills the template, whose values are those of ``page_data``. ``shots``,
   ``wording``, ``plots`` and ``page_plots`` make its tables, sentences and curves.
"""
