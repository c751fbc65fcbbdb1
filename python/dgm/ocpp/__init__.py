"""OCPP gateway: a byte-exact relay between stations and their CSMSs that brings the site's limits into the stations.

Scope now: OCPP 1.6J, 2.0.1 and 2.1; enforcement mode `max` (a Max profile of ours where a station has one EVSE, else a
TxDefaultProfile for each; the CPO's profiles untouched); policy `strict`: a station is accepted only while its CSMS is
reachable (502 otherwise), and when one leg is lost the other is closed, so that the station queues its billing messages
itself. Absent: modes `merge` and `native`, policies `island` and `store`.

    station ──ws──> gateway (shell) ──> session (pure) ──> effects ──> gateway ──ws──> CSMS
                                         frame, relay, guarded; evse: dialect, enforce, readings, observe, store
"""
