"""The shell around the sessions: WebSocket listener, sockets to the CSMSs, timers and the audit file.

station ──> Gateway (listener, one Line per station) ──> Session ──> effects ──> sockets, audit file, metrics
"""

from dgm.ocpp.gateway.admissions import ADMISSION
from dgm.ocpp.gateway.audit import AuditFile
from dgm.ocpp.gateway.books_file import BooksFile
from dgm.ocpp.gateway.counts import GatewayMetrics
from dgm.ocpp.gateway.schemas import Schemas
from dgm.ocpp.gateway.security import Security, station_tls
from dgm.ocpp.gateway.server import Gateway

__all__ = ["ADMISSION", "AuditFile", "BooksFile", "Gateway", "GatewayMetrics", "Schemas", "Security", "station_tls"]
