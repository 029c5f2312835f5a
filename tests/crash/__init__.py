"""Kill a command at its N-th file operation, or fill the disk from there on.

A process that finds this folder on its ``PYTHONPATH`` imports ``sitecustomize``, and with it :mod:`hook`.
"""
