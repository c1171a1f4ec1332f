"""What the operator sees of a running gateway: metrics, and the address they are fetched from."""
