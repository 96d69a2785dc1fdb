"""Clear layer, transmission and airlight; begins at :mod:`stages.dehaze.layers`."""
