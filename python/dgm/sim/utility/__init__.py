"""A utility server that can play every situation a script names, without sockets or a clock of its own.

    script (data) ──> Director ──> State ──documents──> Reply          Received ──> Server ──> Exchanges ──> judge
                                     └──> Push (notifications)                       (times are handed in)

It shares no code with the client that it tests. `sim/live/utility` puts it on TLS; tests join it to the client's core.
"""
