"""Networks and their inputs: small generators, coupled noise, a monotone curve, and the measured choice of precision.

They know torch alone. Everything random comes from a ``torch.Generator`` with a given seed, never from the global one, so that the same
seed gives the same bytes whatever ran before.
"""
