"""The one exception that users are meant to read."""


class AccentError(ValueError):
    """Bad input or a missing file: one sentence that says what is wrong, where, and what to do."""
