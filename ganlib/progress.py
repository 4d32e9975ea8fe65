"""How far a long task is: a bar on a terminal, now and then a line where nobody watches."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 10.0  # seconds between two lines


@contextmanager
def progress(total: int, what: str, unit: str, begun: int = 0) -> Iterator[Callable[..., None]]:
    """Show progress on standard error while the block lasts.

    Args:
        total: units of the whole task.
        what: the task: "scoring".
        unit: one unit of it: "image".
        begun: units that were done before.

    Yields:
        A function to call when units are done: `advance(n=1, note="")`.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, initial=begun, desc=what, unit=unit) as bar:

            def advance(n: int = 1, note: str = "") -> None:
                bar.set_postfix_str(note, refresh=False)
                bar.update(n)

            yield advance
        return
    done, started, said = begun, time.monotonic(), time.monotonic()

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal done, said
        done += n
        now = time.monotonic()
        if now - said < EVERY:
            return
        said = now
        left = (total - done) * (now - started) / max(1, done - begun)
        rest = f", about {left:.0f} s left" if done < total else ""
        note = f", {note}" if note else ""
        print(f"{what}: {done:,} of {total:,} {unit}s{rest}{note}", file=sys.stderr, flush=True)

    yield advance
