"""Settings, from the environment with the prefix FIRN_."""

import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """How the operator runs."""

    model_config = SettingsConfigDict(env_prefix="FIRN_", hide_input_in_errors=True)

    namespace: str = Field(min_length=1)
    signing_key_file: Path = Path("/etc/firn/signing/private-key.pem")
    pod_name: str = Field(default_factory=socket.gethostname)
    pod_uid: str = ""
    operator_deployment: str = "firn-operator"
    network_policies: bool = False
    health_host: str = "0.0.0.0"  # noqa: S104  the kubelet asks from outside the pod
    health_port: int = 8081
    lease_seconds: int = Field(default=5, ge=2)
    resync_seconds: float = Field(default=30, gt=0)
    log_level: str = "INFO"

    @property
    def identity(self) -> str:
        """Who holds the Lease: the same after a restart of the container, so that it need not wait for itself."""
        return f"{self.pod_name}_{self.pod_uid}" if self.pod_uid else self.pod_name
