"""What we ask of the cluster, through the user's own kubectl and its current context."""

import asyncio
import base64
import binascii
import json
import os
from dataclasses import dataclass

from firn.errors import LoginRefused, ServicesNotFound, Unreachable

DEFAULT_NAMESPACE = "firn"
SERVICE = "firn-services"
ADMIN_SECRET = "firn-admin"  # noqa: S105  the name of a Secret, not its content
ADMIN_USER = "admin"
INSTALL_HINT = (
    "Install Firn there with: helm install firn helm/firn --namespace {namespace} --create-namespace\n"
    "or name its namespace with -n, or its address with --url."
)
NO_KUBECTL = "Install kubectl, or give the services' address with --url (FIRN_URL)."


@dataclass(frozen=True, slots=True)
class Target:
    """An account: a cluster, by its API server's address, and a namespace."""

    server: str
    namespace: str

    @property
    def account(self) -> str:
        """A text that tells this account from others."""
        return f"{self.server}/{self.namespace}"


async def current_target(namespace: str | None) -> Target:
    """Return the current context's cluster, and `namespace`, else the context's, else `firn`."""
    code, out, err = await _run("config", "view", "--minify", "-o", "json")
    if code != 0:
        raise ServicesNotFound(
            f"there is no Kubernetes cluster to look in: {_last_line(err)}",
            "Set KUBECONFIG, or give the services' address with --url (FIRN_URL). "
            "To start a cluster with Firn on this machine: make demo",
        )
    config = json.loads(out)
    server = config["clusters"][0]["cluster"].get("server", "") if config.get("clusters") else ""
    contexts = config.get("contexts") or [{}]
    from_context = contexts[0].get("context", {}).get("namespace")
    return Target(server, namespace or from_context or DEFAULT_NAMESPACE)


async def admin_password(target: Target) -> str:
    """Return the password that the chart generated. Raises LoginRefused when it cannot be read."""
    code, out, err = await _run("get", "secret", ADMIN_SECRET, "-n", target.namespace, "-o", "json")
    if code != 0:
        raise LoginRefused(
            f"cannot read the password from Secret {ADMIN_SECRET} in namespace {target.namespace}: {_last_line(err)}",
            "Give --user and --password-file, or FIRN_USER and FIRN_PASSWORD.",
        )
    try:
        return base64.b64decode(json.loads(out)["data"]["password"]).decode()
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise LoginRefused(
            f"Secret {ADMIN_SECRET} in namespace {target.namespace} has no key `password`",
            "Give --user and --password-file, or FIRN_USER and FIRN_PASSWORD.",
        ) from error


def explain(err: str, namespace: str) -> ServicesNotFound | Unreachable:
    """Return the error that kubectl's last words mean: nothing there, or there and not ready."""
    last = _last_line(err)
    lowered = last.lower()
    if "not found" in lowered:
        return ServicesNotFound(
            f"no Firn services in namespace {namespace!r} of this cluster", INSTALL_HINT.format(namespace=namespace)
        )
    if "refused" in lowered or "unable to connect" in lowered or "no route" in lowered or "i/o timeout" in lowered:
        return Unreachable(
            f"the Kubernetes cluster does not answer: {last}",
            "See whether it runs: kubectl cluster-info (on this machine: make status; make up starts it)",
        )
    if "forbidden" in lowered or "unauthorized" in lowered:
        return ServicesNotFound(
            f"kubectl may not reach Firn in namespace {namespace!r}: {last}",
            "Ask for the right to port-forward, or give the services' address with --url.",
        )
    return Unreachable(
        f"the services cannot be reached yet: {last}",
        f"See what holds them back: kubectl get pods -n {namespace} -l app.kubernetes.io/part-of=firn",
    )


async def _run(*arguments: str) -> tuple[int, str, str]:
    """Run kubectl to its end and return exit status, standard output and standard error."""
    try:
        child = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
    except FileNotFoundError as error:
        raise ServicesNotFound("there is no kubectl on PATH to find the services with", NO_KUBECTL) from error
    out, err = await child.communicate()
    return child.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "kubectl said nothing"
