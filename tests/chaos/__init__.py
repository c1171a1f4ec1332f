"""Three gateways, their stores, their backends and fifty clients, while everything is being killed; then the books."""
