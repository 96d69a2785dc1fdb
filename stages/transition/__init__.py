"""How one transition is taken apart: motion, networks, sweeps and ties; begins at :mod:`stages.transition.separate`."""
