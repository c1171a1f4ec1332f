"""Redis or Valkey: rate windows, slots and remembered identities. Everything here can be lost and built again.

::

    limit_store  key_cache         the ports, in the store's words
         |           |
       verdicts   records          what the scripts say; MAC'd copies of callers
         |           |
         +-- lane ---+             one FIFO connection for the whole gateway process
              |
            wire                   redis-py's connection: URL, TLS, AUTH, SELECT, scripts, run id
"""
