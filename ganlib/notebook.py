"""What a notebook asks for before it begins."""

import ast

from ganlib.errors import GanlibError


def check_parameters() -> None:
    """Refuse a parameter that this notebook does not have.

    papermill puts the parameters it is given into a cell of their own and only remarks that it does
    not know one, so a misspelt `epocs=3` would run for hours with the default. Call this in the
    cell after the parameters. In a notebook that papermill did not start it does nothing.

    Raises:
        GanlibError: names the unknown parameter and all that exist.
    """
    import IPython

    shell = IPython.get_ipython()
    cells = shell.user_ns["In"] if shell else []
    given = [number for number, cell in enumerate(cells) if cell.startswith("# Parameters\n")]
    if not given:
        return
    known = _assigned(cells[given[0] - 1])
    unknown = [name for number in given for name in _assigned(cells[number]) if name not in known]
    if unknown:
        raise GanlibError(
            f"This notebook has no parameter {', '.join(map(repr, unknown))}. "
            f"It has: {', '.join(known)}."
        )


def _assigned(source: str) -> list[str]:
    return [
        target.id
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
