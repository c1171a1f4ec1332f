"""HTTP/1.0 and 1.1 as it is spoken on a connection, strictly: what can be read in two ways is refused.

    bytes -> `reading` (requests, no I/O) -> `heads` (what a head may say) -> `exchange` (ASGI)
                                     all of it in order, in time and to its end: `connection`

It stands in the place of Hypercorn's own HTTP/1 class, which stays selectable, made as strict as it can be: `stock`.
"""
