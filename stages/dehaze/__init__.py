"""Remove haze: clear layer, transmission and airlight. Start at :mod:`stages.dehaze.layers`."""
