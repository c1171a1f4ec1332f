"""Programs that an operator, or a release, runs to see that what is promised is kept; each prints a table."""
