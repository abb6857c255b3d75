"""Transforms of patterns and blurs with FFTW, and what is built on them: any size."""
