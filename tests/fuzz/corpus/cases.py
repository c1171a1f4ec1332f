"""The bodies. A reason says what a gateway that reads carelessly would let happen."""

from __future__ import annotations

from collections.abc import Mapping

_CHAT, _GENERATE, _EMBED, _OLD = "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"
_V1, _TEXT, _VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_RESPONSES, _MESSAGES = "/v1/responses", "/v1/messages"


def _generate(more: str) -> tuple[str, bytes]:
    return _GENERATE, ('{"model":"a","prompt":"p"' + more + "}").encode()


def _chat(message: str) -> tuple[str, bytes]:
    return _CHAT, ('{"model":"a","messages":[{' + message + "}]}").encode()


def _messages(said: str, more: str) -> tuple[str, bytes]:
    messages = '"messages":[{"role":"user","content":' + said + "}]"
    return _MESSAGES, ('{"model":"a",' + messages + more + "}").encode()


def _openai(more: str) -> tuple[str, bytes]:
    return _V1, ('{"model":"a","messages":[{"role":"user","content":"p"}]' + more + "}").encode()


CASES: Mapping[str, tuple[str, bytes]] = {
    # -- which model
    "the last of two models wins": _generate(',"model":"b"'),
    "a model in upper case wins over one in lower case": _generate(',"MODEL":"b"'),
    "a model in upper case wins although it comes first": (_GENERATE, b'{"MODEL":"b","model":"a","prompt":"p"}'),
    "an escaped key is the same key": _generate(r',"mod\u0065l":"b"'),
    "a model in upper case alone is read": (_GENERATE, b'{"Model":"b","prompt":"p"}'),
    "a Cyrillic letter makes another key": _generate(',"mod\u0435l":"b"'),
    "a full-width letter makes another key": _generate(',"\uff4dodel":"b"'),
    "a dotless i makes another key": _openai(',"t\u0131me":1'),
    "a space makes another key": _generate(',"model ":"b"'),
    "a NUL makes another key": _generate(r',"model\u0000":"b"'),
    "a null model is none": _generate(',"MODEL":null'),
    "a model of a wrong type keeps the former": _generate(',"MODEL":1'),
    # -- second readings of the bytes
    "a second value is not read": (_GENERATE, b'{"model":"a","prompt":"p"}{"model":"b"}'),
    "a second value on a line of its own is not read": (_GENERATE, b'{"model":"a","prompt":"p"}\n{"model":"b"}'),
    "rubbish behind the value is not read": (_GENERATE, b'{"model":"a","prompt":"p"}]]]'),
    "white space behind the value is nothing": (_GENERATE, b'{"model":"a","prompt":"p"} \r\n\t'),
    "a byte order mark is an error": (_GENERATE, b'\xef\xbb\xbf{"model":"a","prompt":"p"}'),
    "UTF-16 is an error": (_GENERATE, '{"model":"a","prompt":"p"}'.encode("utf-16-le")),
    "bytes that are no UTF-8 become a replacement": (_GENERATE, b'{"model":"a\xff","prompt":"p"}'),
    "an overlong slash becomes replacements": (_GENERATE, b'{"model":"a\xc0\xafb","prompt":"p"}'),
    "half of a surrogate pair becomes a replacement": (_GENERATE, rb'{"model":"a\ud800","prompt":"p"}'),
    "a whole surrogate pair is one character": (_GENERATE, rb'{"model":"a\ud83d\ude00","prompt":"p"}'),
    "a NUL in a text is a character": (_GENERATE, rb'{"model":"a","prompt":"p\u0000"}'),
    "a comment is an error": (_GENERATE, b'{"model":"a","prompt":"p"/**/}'),
    "a trailing comma is an error": (_GENERATE, b'{"model":"a","prompt":"p",}'),
    "nothing but null is an empty request": (_GENERATE, b"null"),
    "an array is an error": (_GENERATE, b'[{"model":"a","prompt":"p"}]'),
    # -- streamed or not
    "a null stream still streams": _generate(',"stream":null'),
    "a long s in stream": _generate(',"stream":true,"\u017ftream":false'),
    "a long s in stream alone": _generate(',"\u017ftream":false'),
    "an escaped long s in stream": _generate(r',"\u017ftream":false'),
    "stream in capitals alone": _generate(',"STREAM":false'),
    "a stream of a wrong type": _generate(',"stream":"false"'),
    # -- the cap on output
    "a repeated options object is merged": _generate(',"options":{"num_predict":1},"options":{"top_k":1}'),
    "a repeated options object overrides": _generate(',"options":{"num_predict":1},"OPTIONS":{"num_predict":-1}'),
    "options in capitals alone": _generate(',"Options":{"num_predict":5}'),
    "an option in capitals is unknown": _generate(',"options":{"NUM_PREDICT":-1,"num_predict":5}'),
    "an option in capitals alone is unknown": _generate(',"options":{"NUM_PREDICT":-1,"Top_K":1}'),
    "a cap twice": _generate(',"options":{"num_predict":5,"num_predict":-1}'),
    "a cap below one is no cap": _generate(',"options":{"num_predict":0.9}'),
    "a cap with a fraction is cut": _generate(',"options":{"num_predict":5.9}'),
    "a cap with an exponent": _generate(',"options":{"num_predict":1e2}'),
    "a cap of minus zero": _generate(',"options":{"num_predict":-0.0}'),
    "a cap beyond 64 bits overflows to none": _generate(',"options":{"num_predict":1e30}'),
    "a cap at the edge of 64 bits overflows as a float": _generate(',"options":{"num_predict":9223372036854775807}'),
    "an infinite cap is an error": _generate(',"options":{"num_predict":1e999}'),
    "a null cap is none": _generate(',"options":{"num_predict":null}'),
    "null options are none": _generate(',"options":null'),
    "max_tokens in capitals wins": _openai(',"max_tokens":5,"MAX_TOKENS":null,"Max_Tokens":100000'),
    "max_tokens with a fraction is an error": _openai(',"max_tokens":5.0'),
    "max_tokens with an exponent is an error": _openai(',"max_tokens":1e2'),
    "max_tokens beyond 64 bits is an error": _openai(',"max_tokens":9223372036854775808'),
    "a negative max_tokens is no cap": _openai(',"max_tokens":-1'),
    "max_completion_tokens is unknown to Ollama": _openai(',"max_completion_tokens":5'),
    "a long s in max_output_tokens": (_RESPONSES, '{"model":"a","input":"p","max_output_token\u017f":5}'.encode()),
    "a Kelvin sign in max_tokens": _messages('"p"', ',"max_to\u212aens":5'),
    # -- what is not for tenants
    "a Kelvin sign in keep_alive": _generate(',"\u212aeep_alive":-1'),
    "an escaped Kelvin sign in keep_alive": _generate(r',"\u212aeep_alive":-1'),
    "keep_alive in capitals": _generate(',"KEEP_ALIVE":0'),
    "keep_alive is dropped": _generate(',"keep_alive":-1'),
    "raw in capitals": _generate(',"Raw":true'),
    "a template is dropped": _generate(',"template":"{{ .System }}"'),
    "a template with a capital letter": _generate(',"Template":"{{ .System }}"'),
    "the old context is dropped": _generate(',"context":[1,2,3]'),
    "a debugging field is dropped": _generate(',"_debug_render_only":true'),
    "a debugging field with a capital letter": _generate(',"_Debug_render_only":true'),
    # -- what is inside
    "a role in capitals inside a message": _chat('"role":"user","ROLE":"system","content":"p"'),
    "content with a capital letter alone": _chat('"role":"user","Content":"p"'),
    "repeated messages": (_CHAT, b'{"model":"a","messages":[{"content":"p"}],"messages":[{"role":"system"}]}'),
    "a null message": (_CHAT, b'{"model":"a","messages":[null]}'),
    "names in a schema are the caller's own": _generate(',"format":{"properties":{"Model":{},"role":{}}}'),
    "a format in capitals": _openai(',"response_format":{"TYPE":"json_object"}'),
    "a schema in capitals": _openai(',"response_format":{"type":"json_schema","json_schema":{"SCHEMA":{}}}'),
    "usage in capitals": _openai(',"stream":true,"stream_options":{"INCLUDE_USAGE":true}'),
    "an effort in capitals": _openai(',"reasoning":{"Effort":"none"}'),
    "an unpadded image is an error to Go": _chat('"content":"p","images":["iVBORw0KGgo"]'),
    "the tag of a block in capitals": _messages('[{"TYPE":"text","text":"p"}]', ',"max_tokens":5'),
    "a tool's type in capitals": _messages('"p"', ',"max_tokens":5,"tools":[{"name":"n","Type":"web_search"}]'),
    # -- loads for nothing
    "an empty prompt loads the model": (_GENERATE, b'{"model":"a","prompt":""}'),
    "a null prompt loads the model": (_GENERATE, b'{"model":"a","prompt":null}'),
    "no messages load the model": (_CHAT, b'{"model":"a","messages":[]}'),
    "an empty input loads the model": (_EMBED, b'{"model":"a","input":""}'),
    "an empty prompt for an embedding loads the model": (_OLD, b'{"model":"a","prompt":""}'),
    "an input of no text is an error": (_VECTORS, b'{"model":"a","input":[]}'),
    "an empty prompt for text loads the model": (_TEXT, b'{"model":"a","prompt":""}'),
    "an empty input for a response loads the model": (_RESPONSES, b'{"model":"a","input":""}'),
}  # fmt: skip
