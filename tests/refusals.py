"""What ganlib refuses, it refuses with a GanlibError."""

import pytest

from ganlib.errors import GanlibError


def refused(message, function, *arguments, **options):
    """See that a call is refused with a message that matches; return the message."""
    with pytest.raises(GanlibError, match=message) as error:
        function(*arguments, **options)
    return str(error.value)
