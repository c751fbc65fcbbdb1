"""Register maps of the facades: a declarative table of points, and everything that is made of it. Pure."""
