"""The Docker engine: the way to it, what is built there, what runs there.

One thin file for each kind of object; plain arguments in, frozen dataclasses out. The only place that
imports `docker`, and only when it is used: the library takes 0.15 s.
"""
