"""Backends that break every rule, a real gateway in front of them, and what its clients, books and log then show.

voices    what an honest backend says, for each dialect and mode: what the scripts are made of
backend   a server on bare sockets: tells of its models honestly, plays a script on inference
scripts   the table: name -> what the backend does -> how the call must end
"""
