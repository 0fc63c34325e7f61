"""One installed account on a real cluster, as its user reaches it: kubectl, the firn command, the HTTP API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from firn.client import Client
from firn.login import PasswordLogin, known_password


@dataclass(frozen=True, slots=True)
class Account:
    """A namespace with Firn installed. `url` is its API; `environment` reaches its cluster and its Docker daemon."""

    namespace: str
    url: str
    environment: dict[str, str]

    def run(self, *command: str, stdin: str | None = None, seconds: float = 120) -> str:
        """Run a program against this account's cluster and return what it printed; fail with all that it said."""
        done = self.attempt(*command, stdin=stdin, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def attempt(
        self, *command: str, stdin: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that may fail."""
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **self.environment},
        )

    # kubectl

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        return self.run("kubectl", "-n", self.namespace, *arguments, stdin=stdin, seconds=seconds)

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def refusal(self, manifest: dict[str, Any]) -> str:
        """Apply a manifest that must be refused and return the API server's words."""
        done = self.attempt("kubectl", "-n", self.namespace, "apply", "-f", "-", stdin=yaml.safe_dump(manifest))
        assert done.returncode != 0, f"accepted: {done.stdout}"
        return done.stderr

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return items

    def wait(self, what: str, condition: str, seconds: int = 60) -> None:
        """Wait, by a watch, until a resource (`kind/name`) meets kubectl's condition."""
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={seconds}s", seconds=seconds + 30)

    def wait_reason(self, what: str, reason: str, seconds: int = 60) -> None:
        """Wait until the condition Ready has this reason."""
        self.wait(what, f'jsonpath={{.status.conditions[?(@.type=="Ready")].reason}}={reason}', seconds)

    def wait_phase(self, warehouse: str, phase: str, seconds: int = 60) -> None:
        self.wait(f"virtualwarehouse/{warehouse}", f"jsonpath={{.status.phase}}={phase}", seconds)

    def wait_pool(self, ready: int, pool: str = "default", seconds: int = 180) -> None:
        """Wait until a pool has exactly that many warm nodes."""
        self.wait(f"warehousepool/{pool}", f"jsonpath={{.status.ready}}={ready}", seconds)

    @contextmanager
    def watching(self, kind: str, name: str, field: str = ".status.phase") -> Iterator[list[str]]:
        """Record every value that a field of a resource takes inside the block: its phase, if no other is named."""
        command = ("kubectl", "-n", self.namespace, "get", kind, name, "-w", "-o", f"jsonpath={{{field}}}{{'\\n'}}")
        values: list[str] = []
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **self.environment}
        ) as watch:
            try:
                yield values
            finally:
                watch.terminate()
                assert watch.stdout is not None
                for line in watch.stdout:
                    if line.strip() and values[-1:] != [line.strip()]:
                        values.append(line.strip())

    # Firn

    def firn(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        return self.run(*self._firn(arguments), stdin=stdin, seconds=seconds)

    def firn_refusal(self, *arguments: str) -> str:
        """Run a firn command that must fail and return what it says."""
        done = self.attempt(*self._firn(arguments))
        assert done.returncode != 0, f"succeeded: {done.stdout}"
        return done.stderr

    def _firn(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        command = str(Path(sys.executable).with_name("firn"))
        door = ("--url", self.url) if self.url else ()
        return (command, *arguments, "-n", self.namespace, *door)

    def client(self) -> Client:
        password = self.secret("firn-admin", "password")
        return Client(self.url, PasswordLogin("admin", known_password(password)))

    def secret(self, name: str, key: str) -> str:
        return self.kubectl(
            "get", "secret", name, "-o", f"go-template={{{{ index .data {json.dumps(key)} | base64decode }}}}"
        )

    # Faults

    def aim(self, pod: str, container: str) -> tuple[str, ...]:
        """Return the command that kills a container's first process with SIGKILL, from its machine.

        Finding the process takes a while; so aim first, and fire when the moment has come.
        """
        node = self.get("pod", pod)["spec"]["nodeName"]
        script = (
            f"id=$(crictl ps -q --name '^{container}$' --label io.kubernetes.pod.name={pod} "
            f"--label io.kubernetes.pod.namespace={self.namespace}) && "
            "crictl inspect -o go-template --template '{{.info.pid}}' $id"
        )
        process = self.run("docker", "exec", node, "sh", "-c", script).strip()
        return ("docker", "exec", node, "kill", "-9", process)

    def kill(self, pod: str, container: str) -> None:
        """Kill a container's first process with SIGKILL."""
        self.run(*self.aim(pod, container))

    def aim_at(self, component: str) -> tuple[str, ...]:
        """Return the command that kills the operator or the services, once they are up."""
        self.kubectl("rollout", "status", f"deployment/firn-{component}", "--timeout=60s")
        (pod,) = self.find("pods", f"app.kubernetes.io/component={component}")
        return self.aim(pod["metadata"]["name"], component)

    def head(self, warehouse: str) -> str:
        """Return the pod name of a running warehouse's head."""
        (pod,) = self.find("pods", f"firn.dev/warehouse={warehouse},firn.dev/role=head")
        return str(pod["metadata"]["name"])

    def in_namespace(self, namespace: str, url: str) -> "Account":
        return replace(self, namespace=namespace, url=url)
