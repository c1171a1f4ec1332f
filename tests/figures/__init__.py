"""The figures that the gateway is held to, and what was seen of them."""
