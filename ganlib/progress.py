"""Show how far a long task is: a bar on a terminal, nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress(total: int, what: str, unit: str, begun: int = 0) -> Iterator[Callable[..., None]]:
    """Show progress while the block lasts; yield `advance(n=1, note="")` to call for units done."""
    with tqdm(total=total, initial=begun, desc=what, unit=unit, disable=None) as bar:

        def advance(n: int = 1, note: str = "") -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(n)

        yield advance
