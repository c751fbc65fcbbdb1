"""The acceptance scenarios and users' own: a world, a timeline and pass marks, run in virtual time and judged."""
