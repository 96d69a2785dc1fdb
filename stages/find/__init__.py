"""How shots, transitions and the weight of each frame are found, in one pass over small frames; begins at :mod:`stages.find.search`."""
