"""The one exception that a user's mistake raises."""


class GanlibError(Exception):
    """A mistake that the user can fix: the message says what, where and how.

    Command lines and notebooks show the message alone, without a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Show this in a notebook: IPython asks an exception for it."""
        return [f"{type(self).__name__}: {self}"]
