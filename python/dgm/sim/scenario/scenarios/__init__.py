"""The scenarios that come with DGM, a YAML file each."""
