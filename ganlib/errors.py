"""The one exception that a user's mistake raises."""


class GanlibError(Exception):
    """A mistake that the user can mend: the message says what, where and how.

    Command lines print the message alone, without a traceback; notebooks show it as the last line.
    """
