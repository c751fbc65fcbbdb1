"""The der role: the shells around the pure cores.

role.py             drives DerCore in real time: journal, facade, the EMS
aggregator_role.py  the same for many EndDevices; end_devices.py: their sites, many.py: their DerService
talk.py             HTTP, notifications and certificates, for both
ems_link.py         limits to the EMS, the site from the EMS; target_link.py: targets
servicer.py         DerService
metrics.py          what Prometheus sees
"""

from dgm.der.service.aggregator_role import AggregatorRole
from dgm.der.service.role import DerRole

__all__ = ["AggregatorRole", "DerRole"]
