"""The command line of the operator: `neuronetz-gateway`.

root      the group, its options, its help          session   settings and tools of one invocation
wiring    the tools, built from adapters            problems  errors -> one sentence and an exit status
values    what options may be                       printing  tables, JSON, notes
tenants, keys, policies, usage, backends, running, audit, doctor, top, completion   the commands
completing  what the shell offers at a Tab
"""

from entrypoints.cli.root import main

__all__ = ["main"]
