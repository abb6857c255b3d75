"""Experiments on known objects, one file each: run one with ``python -m ptyxrf.experiments.NAME``."""
