"""What changes about keys and tenants, while several replicas serve them at once."""
