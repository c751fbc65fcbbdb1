"""The EMS role: limits, policy and the cycle that hands them to the field core."""
