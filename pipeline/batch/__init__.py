"""Run every clip of a folder: on this machine, or on a Ray cluster.

- ``clips`` finds the clips, also new ones (``--watch``). ``single_pictures`` recognises a folder of
  photographs, and ``skipped`` collects what is left out.
- ``batch`` runs them in processes of their own, and ``display`` shows how far they are.
- ``ray_cluster`` runs them on a cluster instead (``--ray``). There ``distributed_run`` does one run
  in parts.
"""
