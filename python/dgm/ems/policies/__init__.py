"""Policies: what to ask for. Each is pure; what is granted is the core's decision."""
