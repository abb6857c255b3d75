"""Experiments of the paper on known objects, one file each; ``ptyxrf paper NAME`` runs one."""
