"""Tables of devices that do not describe themselves by SunSpec: one YAML file each, and their loader."""
