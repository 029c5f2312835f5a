"""Experiments, whose tables are kept in ``data/results``; its README says what makes which."""
