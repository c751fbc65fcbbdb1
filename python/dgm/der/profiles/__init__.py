"""Utility profiles that come with DGM, one YAML file each, and what reads them."""
