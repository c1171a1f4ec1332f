"""A simulated Ollama: the wire of the real server, plainly no model behind it.

It exists so that the gateway can be shown, tested and measured without a model: it answers Ollama's native and
OpenAI routes in Ollama's shapes, keeps a log of what really happened (the yardstick for every bill), and can be
told to misbehave in the ways real servers do. It imports none of the gateway's rooms.

    serving   sockets, start and stop, the command line
    app       one door for every path: record, script, dispatch
    native, openai, listings, *_voice                        the two dialects
    generation, runners, pipe                                the work, its slots, its bytes
    behaviours, replay, control, log, counting               script, tape, remote control, truth, arithmetic
"""
