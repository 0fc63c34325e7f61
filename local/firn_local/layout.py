"""Where things are: the checkout, the cache of build outputs, the state of what runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The three folders that everything is found from.

    ``checkout``: the repository; only read. ``cache``: what can be made again from it, shared by all clusters
    and checkouts. ``state``: what runs now: the Docker daemon, kubeconfigs, logs, recorded processes.
    """

    checkout: Path
    cache: Path
    state: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Layout:
        """Return the folders that FIRN_CACHE and FIRN_STATE name, or their defaults under the home folder."""
        env = os.environ if environment is None else environment
        home = Path(env.get("HOME") or Path.home())
        cache_home = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
        state_home = Path(env.get("XDG_STATE_HOME") or home / ".local" / "state")
        return cls(
            checkout=Path(__file__).resolve().parents[2],
            cache=Path(env.get("FIRN_CACHE") or cache_home / "firn").absolute(),
            state=Path(env.get("FIRN_STATE") or state_home / "firn").absolute(),
        )

    @property
    def local(self) -> Path:
        """The folder of the local cluster's sources in the checkout."""
        return self.checkout / "local"

    @property
    def logs(self) -> Path:
        """Logs of builds and of the daemon."""
        return self.state / "logs"

    @property
    def image_archives(self) -> Path:
        """Firn's images as archives; nodes of our own daemon read them here."""
        return self.cache / "image-archives"

    @property
    def clusters(self) -> Path:
        """One folder for each cluster that is or was being made."""
        return self.state / "clusters"

    def cluster(self, name: str) -> Path:
        """Return the folder of one cluster: its kind configuration, kubeconfig and logs."""
        return self.clusters / name

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of one cluster."""
        return self.cluster(name) / "kubeconfig"
