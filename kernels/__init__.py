"""Numerics of one rank: Numba kernels and FFTs over a tile and its positions. Knows no MPI and no files."""
