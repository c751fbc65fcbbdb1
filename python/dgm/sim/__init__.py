"""The simulated world: plant, stations, demo timeline and the judge. Pure, except `live/`, which uses real sockets.

    timeline ──> plant (meter, PV, battery, building)   stations (OCPP 1.6, cars)   utility
                        │ trace, frames, responses
                        └──> checks ──> verdict

It never imports a shell of the product, and the parts of it that judge know nothing of the controller's own model.
"""
