"""The names of everything kept.

All of a tenant's carry the tenant as hash tag, so that Redis Cluster keeps a tenant in one slot and a script may touch
all of it; all of the turns' carry one tag for the same reason.

====================  ========  ====================================================================
`nz:{t}:ep`           string    which filling this is, and in which run of the server: `7:3f2c...`
`nz:{t}:gen`          hash      tenant id or key id -> its newest generation
`nz:{t}:rpm[:key]`    hash      the exact window of calls: second -> amount, and `s`, `o`, `n`
`nz:{t}:tpm[:key]`    hash      the same of tokens
`nz:{t}:cc[:key]`     zset      request id -> when its slot's lease ends, in ms
`nz:{t}:i:request`    string    what the request was answered and charged, and whether it was released
`nz:k:fingerprint`    string    a MAC'd copy of a caller; belongs to no tenant until it is read
`nz:d:id`             string    a wrapped hour key of kept prompts; belongs to an hour, not to a tenant
`nz:{turns}:queue`    zset      turn id of a waiter -> its place in line
`nz:{turns}:alive`    zset      the same -> until when it counts as waiting, in ms
`nz:{turns}:wishes`   hash      the same -> the backends it can use
`nz:{turns}:at:name`  zset      turn id -> when its lease of that backend ends, in ms
`nz:{turns}:to:id`    channel   what is given to those who wait in one process
`nz:{turns}:wedged`   hash      backend and model -> whether the model answers there
`nz:{turns}:probe:..` string    that a gateway probes this model at this backend now
====================  ========  ====================================================================
"""

from __future__ import annotations


def epoch(tenant_id: str) -> str:
    """Which filling of the store this is."""
    return f"nz:{{{tenant_id}}}:ep"


def generations(tenant_id: str) -> str:
    """The newest generation of the tenant and of each of its keys."""
    return f"nz:{{{tenant_id}}}:gen"


def calls(tenant_id: str, key_id: str | None = None) -> str:
    """The window of calls of a tenant, or of one of its keys."""
    return _scoped("rpm", tenant_id, key_id)


def tokens(tenant_id: str, key_id: str | None = None) -> str:
    """The window of tokens of a tenant, or of one of its keys."""
    return _scoped("tpm", tenant_id, key_id)


def slots(tenant_id: str, key_id: str | None = None) -> str:
    """The leases of a tenant, or of one of its keys."""
    return _scoped("cc", tenant_id, key_id)


def request(tenant_id: str, request_id: str) -> str:
    """What is remembered of one request."""
    return f"nz:{{{tenant_id}}}:i:{request_id}"


def caller(fingerprint: bytes) -> str:
    """A remembered caller."""
    return f"nz:k:{fingerprint.hex()}"


QUEUE = ("nz:{turns}:queue", "nz:{turns}:alive", "nz:{turns}:wishes")
"""Who waits for a turn: in which order, for how long yet, and for which backends."""


def turns_at(backend: str) -> str:
    """The leases of one backend."""
    return f"nz:{{turns}}:at:{backend}"


def turns_given_to(process_id: str) -> str:
    """The channel of one process. The script says the same name."""
    return f"nz:{{turns}}:to:{process_id}"


WEDGED = "nz:{turns}:wedged"
"""What gateways tell each other of models that do not answer any more."""


def probed(backend: str, model: str) -> str:
    """Whoever sets it probes."""
    return f"nz:{{turns}}:probe:{backend} {model}"


def hour_key(key_id: str) -> str:
    """A wrapped hour key."""
    return f"nz:d:{key_id}"


def _scoped(kind: str, tenant_id: str, key_id: str | None) -> str:
    return f"nz:{{{tenant_id}}}:{kind}" if key_id is None else f"nz:{{{tenant_id}}}:{kind}:{key_id}"
