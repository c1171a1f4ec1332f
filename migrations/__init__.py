"""The schema, in steps; see README.md."""
