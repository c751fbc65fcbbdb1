"""The der role: the shells around the pure core.

role.py      drives DerCore in real time: HTTP, journal, facade
ems_link.py  limits to the EMS, the site from the EMS
servicer.py  DerService
metrics.py   what Prometheus sees
"""

from dgm.der.service.role import DerRole

__all__ = ["DerRole"]
