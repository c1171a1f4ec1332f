"""The HTTP entrypoint: the door, the dialects, and the way back."""
