"""Errors with a message for the user."""


class InputError(ValueError):
    """Bad input. The message says in one line what is wrong, where, and what to do.

    The commands print the message without a traceback and exit with code 2.
    """


class Interrupted(InputError):
    """The work stopped before its end. Its results so far are kept for ``--resume``."""


class Skipped(InputError):
    """A photo cannot be used. A run over many photos records the reason and continues."""
