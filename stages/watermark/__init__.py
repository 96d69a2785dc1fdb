"""Clean layer, mark and its matte; begins at :mod:`stages.watermark.layers`."""
