"""Scenarios that are no plain timeline: one file each, registered in `table`."""
