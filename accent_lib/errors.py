"""The one exception, and the one warning, that users are meant to read."""

#: The most characters of a message: a title or a header can have a million.
LONGEST = 2000


class AccentError(ValueError):
    """Bad input or a missing file: one sentence that says what is wrong, where, and what to do."""

    def __init__(self, message: str):
        if len(message) > LONGEST:  # what to do stands at the end
            message = f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
        super().__init__(message)


class AccentWarning(UserWarning):
    """Something that works, but not as well as a user may believe: what, where, and what to do."""
