"""The shell of the ems role: `EmsRole` and what it is made of."""

from dgm.ems.service.role import EmsRole, FieldPort

__all__ = ["EmsRole", "FieldPort"]
