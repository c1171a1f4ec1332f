"""Lines that fail: what stands between a gateway and its stores, its backends and its clients in tests."""
