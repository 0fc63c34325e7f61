"""What runs, in words."""

from __future__ import annotations

from firn_local.errors import CommandFailed
from firn_local.workshop import Workshop


def describe(workshop: Workshop, name: str) -> tuple[bool, list[str]]:
    """Return whether the cluster is ready to use, and lines that say what runs and what does not."""
    lines = []
    daemon = workshop.daemon
    docker = workshop.docker()
    if daemon.exists:
        process = daemon.process
        state = f"runs as process {process.pid}" if process else "has died; `up` starts it again"
        lines.append(f"Our Docker daemon {state}; its socket is {daemon.docker.host}.")
    elif docker is not None:
        lines.append("The machine's own Docker daemon is used.")
    else:
        lines.append("No Docker daemon runs.")
    others = [other for other in workshop.known_clusters() if other != name]
    if others:
        lines.append(f"Other clusters: {', '.join(others)}.")
    if docker is None or name not in workshop.known_clusters():
        return False, [*lines, f"Cluster {name} is not up; `up --name {name}` makes it ready."]
    cluster = workshop.cluster(name, docker)
    nodes = cluster.nodes()
    for node in nodes:
        lines.append(f"Node {node.name} {f'runs at {node.address}' if node.is_running else 'is stopped'}.")
    if not nodes or not all(node.is_running for node in nodes):
        return False, [*lines, f"Cluster {name} is not whole; `up --name {name}` repairs it."]
    try:
        cluster.kubectl_run("get", "--raw", "/readyz", timeout_seconds=10)
    except CommandFailed as failure:
        return False, [*lines, f"The API server of cluster {name} does not answer: {failure}"]
    ports = cluster.ports
    lines.append(f"Cluster {name} is up: export KUBECONFIG={workshop.layout.kubeconfig(name)}")
    lines.append(f"Firn's API will be at http://127.0.0.1:{ports.api}, the S3 server at http://127.0.0.1:{ports.s3}.")
    return True, lines
