"""Forward models: how layers mix, and how a residual is distributed over them."""
