"""Use cases. They receive ports, decide with the domain, and know no HTTP, no SQL, no library of the outside."""
