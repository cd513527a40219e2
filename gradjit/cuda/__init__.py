"""The CUDA target at run time: devices, memory, arrays in and out.

Nothing here is imported before it is asked for: numba.cuda takes a while to import, and
most programs do not use it.
"""
