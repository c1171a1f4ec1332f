"""Ways in: HTTP, the command line, and what starts them. The only place that knows the environment and the container."""
