"""Separate one transition: motion, networks, sweeps and ties.

Start reading at :mod:`stages.transition.separate`.
"""
