"""Tests; ``make test`` runs them in two processes of one thread each."""

import os

# Before anything imports torch: two processes of two threads each are slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
