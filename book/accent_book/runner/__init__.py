"""Execute the notebooks of a profile, skip what is up to date, and tell what a run holds."""
