"""The site model shared by the roles: what stands on the site, what it was last seen doing."""
