"""What the catalog refuses."""

from firn_model.statements import StatementError

from firn_services.errors import StatementFailedError


def missing(kind: StatementError, what: str, *, if_exists: bool) -> bool:
    """Return that nothing was there to drop. Raises StatementFailedError unless that is fine."""
    if if_exists:
        return False
    raise StatementFailedError(kind, f"{what} does not exist")


def check_name(name: str) -> None:
    """Raise StatementFailedError for a name that a catalog cannot have."""
    if not name or "." in name or "/" in name or len(name) > 255:
        raise StatementFailedError(StatementError.UNSUPPORTED, f"name {name!r} may not be empty or hold a dot or slash")
