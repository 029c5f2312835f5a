"""The one exception, and the one warning, that users are meant to read."""


class AccentError(ValueError):
    """Bad input or a missing file: one sentence that says what is wrong, where, and what to do."""


class AccentWarning(UserWarning):
    """Something that works, but not as well as a user may believe: what, where, and what to do."""
