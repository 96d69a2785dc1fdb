"""Optimisation: the one loop of gradient descent, its losses, its threads and its time.

- ``fit`` fits networks, frame batch by frame batch. It runs through ``descent``, as every fit of
  the project does. ``steps`` has a step of that loop, and ``adam`` the optimiser.
- ``losses`` and ``penalties`` have the losses, one equation each; ``loss_curves`` records them.
- ``parts`` evaluates losses part by part on several threads, ``threads`` says where threads pay,
  and ``graphs`` lets a GPU repeat a step.
- ``timing`` measures steps, and ``budget`` says how much of a time budget a plan may use.
- ``conjugate_gradients`` solves linear systems, and ``statistics`` has a weighted quantile.
"""
