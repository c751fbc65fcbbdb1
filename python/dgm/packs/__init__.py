"""Regulation packs: what a regulation asks of a site, as data. Never a statement that a site keeps to it."""
