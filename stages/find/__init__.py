"""The search for shots and transitions, one pass over small frames: see :mod:`stages.find.search`.

The way of a frame: :mod:`features` measures it, :mod:`cuts` finds hard cuts,
:mod:`gradual_transitions` proposes mixtures and wipes and :mod:`fit` measures them,
:mod:`boundaries` finds what no model explains, and :mod:`timeline` tells shots and transitions.
"""
