"""A backend and a scenario for muxbench."""
