"""OCPP gateway: a byte-exact relay between stations and their CSMSs that brings the site's limits into the stations.

Scope now: OCPP 1.6J, enforcement mode `max` (our ChargePointMaxProfile, the CPO's profiles untouched), policy `strict`:
a station is accepted only while its CSMS is reachable (502 otherwise), and when one leg is lost the other is closed, so
that the station queues its billing messages itself. Absent: TLS towards stations, modes `merge` and `native`, policies
`island` and `store`, OCPP 2.x.

    station ──ws──> gateway (shell) ──> session (pure) ──> effects ──> gateway ──ws──> CSMS
                                         frame, relay, enforce, readings, observe, store, profile
"""
