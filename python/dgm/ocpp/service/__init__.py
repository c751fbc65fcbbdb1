"""The `ocpp` role: gateway, client of the ems role, OcppService and, where configured, the EVSE facade."""

from dgm.ocpp.service.role import OcppRole

__all__ = ["OcppRole"]
