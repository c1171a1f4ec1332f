"""Ways in: HTTP and the command line, and what starts them. Only here are the environment and the container known."""
