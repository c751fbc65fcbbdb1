"""The planner: forecasts, a linear programme over the coming hours, and what follows of it as weights and envelopes."""
