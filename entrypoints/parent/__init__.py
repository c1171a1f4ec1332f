"""`serve --processes N`: the parent of N gateway processes that share one listening socket.

    parent      migrates, binds, starts the others, restarts what dies, answers METRICS_BIND; serves nobody
      |
      +-- line --- child 1     a fresh program: one worker, one event loop, its own stores' connections
      +-- line --- child 2     ...

The processes are programs of their own, not forks: nothing that was open or running in the parent is open in them but
the listening socket and the line, and a restarted one reads its settings, and its code, afresh. Each is in a session
of its own, so that Ctrl-C is the parent's to hear. The line (`line.py`) is a pair of connected sockets; its end tells
the child that the parent has gone, whatever ended it, and the child then stops in order and lets the port go.

    SIGTERM, SIGINT   all stop at the same time; the parent ends after the last. Again: running calls are cut at once
    SIGHUP            all are replaced, one after another: the new one listens, then the old one leaves (`slot.py`)
    a child dies      it is started again, sooner or later (`backoff.py`)
"""
