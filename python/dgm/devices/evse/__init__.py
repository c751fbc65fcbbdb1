"""Models of charging stations that differ from the standard: one YAML file each (api.ocpp.v1.EvseModel)."""
