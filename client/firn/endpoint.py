"""Where the services are: a fixed URL, or kubectl's port-forward."""

from typing import Protocol


class Endpoint(Protocol):
    """A place where the services answer."""

    async def url(self) -> str:
        """Return the base URL, opening the way there first if need be. Raises ServicesNotFound or Unreachable."""

    async def close(self) -> None:
        """Close what `url` opened."""


class FixedEndpoint:
    """A URL that somebody else keeps working."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def url(self) -> str:
        """Return the URL."""
        return self._url

    async def close(self) -> None:
        """Nothing was opened."""
