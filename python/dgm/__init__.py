"""DGM, Dual Gateway Microgrid: two gateways and an energy management system behind one grid connection."""

__version__ = "0.1.0"
