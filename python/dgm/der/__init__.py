"""The DER gateway: an IEEE 2030.5 client of the utility."""
