"""Ollama: one backend, behind the port `ModelBackend`.

Reading order::

    address        where a backend is and how it wants to be spoken to
    half_close     how a connection ends without costing Ollama a runner slot
    transport      requests and answers over aiohttp, behind httpx's seam
    faults         the library's errors in our words
    rejections     a backend's error answers in our words
    body           the body sent upstream, built anew
    objects        what is read out of an answer's JSON
    rewrites       what is changed in it
    lines, ndjson, sse, plain    bytes to pieces, one module a framing
    answer         an answer that has begun
    templates, listings          what a backend says of itself
    model_backend  the port's implementation
"""
