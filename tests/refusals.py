"""Assert that invalid calls raise a GanlibError."""

import pytest

from ganlib.errors import GanlibError


def refused(message, function, *arguments, **options):
    """Assert that a call raises a GanlibError whose message matches; return the message."""
    with pytest.raises(GanlibError, match=message) as error:
        function(*arguments, **options)
    return str(error.value)
