"""Networks and their inputs: generators, noise, a monotone curve, and the choice of precision.

The modules here import PyTorch alone. Every random number comes from a ``torch.Generator`` with a
given seed, never from the global one, so the same seed gives the same bytes whatever ran before.
"""
