"""The simulated site on real sockets: each module here is one process, run as `python -m dgm.sim.live.X CONFIG.json`.

A process prints `READY {json}` once it listens, works until SIGTERM, until its standard input ends or until
`max_seconds`, and writes its result files on the way out. All sockets are on the loopback interface, with ports chosen
by the system.
"""
