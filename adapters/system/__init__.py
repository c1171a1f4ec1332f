"""What this host has: clocks, randomness, and threads for the slow hash."""
