"""Measure what runs cost on this machine, on clips whose layers are known.

``bench`` is the command. ``measure`` measures one row of its table: it makes a clip (``clips``),
separates it in a process of its own, and judges the layers. ``rows`` has the table.
"""
