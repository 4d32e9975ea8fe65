"""The exception that is raised for user errors."""


class GanlibError(Exception):
    """An error that the user can fix. The message says what is wrong, where, and how to fix it.

    The command line and notebooks show only the message, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in a notebook in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]
