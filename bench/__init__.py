"""Benchmarks: `python -m bench` measures gradjit against other ways to a gradient."""
