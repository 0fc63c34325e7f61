"""`make demo`: Firn on this machine, from nothing to TPC-H answers, a suspended warehouse and a resume.

Everything is made once: what a former run left is found again and used.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from firn.client import Client
from firn.login import PasswordLogin, known_password
from firn.output import bytes_text, seconds_text
from firn_model.api import StatementReply

from firn_local.answers import difference
from firn_local.cluster import Cluster
from firn_local.command import run, succeeds
from firn_local.errors import LocalError
from firn_local.image_loading import load_images
from firn_local.images import FirnImages
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.timeline import timeline
from firn_local.tpch import DATABASE, QUERIES, ObjectStore, Tpch, as_answer
from firn_local.workshop import Workshop

NAMESPACE = "firn"
WAREHOUSE = "DEMO"
BUCKET = "lake"
RESUME_QUERY = "SELECT c_mktsegment, count(*) AS customers FROM customer GROUP BY c_mktsegment ORDER BY 1"
TRY_THIS = "SELECT count(*) FROM lineitem;"
STEP_WORDS = {
    "accepted": "the services have written it down",
    "edge_written": "the warehouse's status says: queued",
    "warehouse_event": "the operator has seen it",
    "cluster_created": "there is a WarehouseCluster",
    "node_claimed": "a warm node is claimed",
    "node_bound": "the node knows its warehouse",
    "endpoint_seen": "the services know the node",
    "dispatched": "the statement is sent to it",
    "first_batch": "its first rows are back",
    "finished": "all is written down",
}
INSTALL_SECONDS = 300
SUSPEND_PATIENCE_SECONDS = 90
VALUES_OF_IMAGES = {"control": "images.control", "node": "images.node", "object-store": "images.objectStore"}


@dataclass(frozen=True, slots=True)
class Site:
    """The running cluster as the demo's commands reach it."""

    cluster: Cluster
    helm: Path

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig."""
        return self.cluster.layout.kubeconfig(self.cluster.name)

    @property
    def environment(self) -> dict[str, str]:
        """What a person sets to use the cluster: KUBECONFIG, and our programs before others on PATH."""
        programs = [Path(sys.prefix) / "bin", self.cluster.kubectl.parent, self.helm.parent]
        path = os.pathsep.join([*(str(folder) for folder in programs), os.environ["PATH"]])
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    @property
    def url(self) -> str:
        """Firn's API, from this machine."""
        return f"http://127.0.0.1:{self.cluster.ports.api}"

    def object_store(self) -> ObjectStore:
        """Return the account's S3 server, as this machine reaches it."""
        secret = self._secret("firn-object-store")
        endpoint = f"http://127.0.0.1:{self.cluster.ports.s3}"
        return ObjectStore(endpoint, secret["access-key-id"], secret["secret-access-key"])

    def client(self) -> Client:
        """Return a client of the account's API, as its administrator."""
        return Client(self.url, PasswordLogin("admin", known_password(self._secret("firn-admin")["password"])))

    def run(self, *command: str) -> str:
        """Show a command and run it, as a person would."""
        say(f"$ {' '.join(command)}")
        return self.run_quietly(*command)

    def run_quietly(self, *command: str) -> str:
        """Run a command and return its output."""
        return run(command, env=self.environment, cwd=self.cluster.layout.checkout)

    def _secret(self, name: str) -> dict[str, str]:
        found = json.loads(self.run_quietly("kubectl", "get", "secret", name, "-n", NAMESPACE, "-o", "json"))
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def run_demo(layout: Layout, name: str, scale: str) -> None:
    """Run the whole demo. Raises LocalError when a step fails or an answer is wrong."""
    began = time.monotonic()
    with Progress() as progress:
        workshop = Workshop.open(layout, progress)
        tpch = Tpch(workshop.cache, scale)
        with ThreadPoolExecutor(1) as pool:
            prepared = pool.submit(_prepare, tpch, progress)
            site = _set_up(workshop, name)
            _finish(prepared, progress)
        uris = tpch.upload(site.object_store(), BUCKET, progress.say)
        asyncio.run(_register(site, tpch, uris, progress))
    site.run("kubectl", "apply", "-n", NAMESPACE, "-f", "examples/warehouse.yaml")
    say(f"first query after {seconds_text(time.monotonic() - began)}\n")
    wrong = asyncio.run(_queries(site, tpch))
    asyncio.run(_suspend_and_resume(site, tpch))
    _say_what_next(site, tpch)
    if wrong:
        raise LocalError(f"{len(wrong)} of {len(QUERIES)} answers were wrong: {', '.join(f'q{n}' for n in wrong)}")


def install(
    workshop: Workshop,
    cluster: Cluster,
    tags: Mapping[str, str],
    *,
    namespace: str = NAMESPACE,
    values: Mapping[str, str] | None = None,
) -> Site:
    """Install or upgrade the chart with these images, and wait until operator, services and S3 server are ready.

    ``values``: more of the chart's values, as --set takes them.
    """
    helm = workshop.program("helm")
    site = Site(cluster, helm)
    images = [f"{VALUES_OF_IMAGES[image]}.tag={tag.partition(':')[2]}" for image, tag in sorted(tags.items())]
    more = [f"{key}={value}" for key, value in (values or {}).items()]
    if _is_installed(site, namespace):
        # Helm leaves CRDs alone after the first install.
        site.run_quietly("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "crds")
    command = ["helm", "upgrade", "--install", "firn", "helm/firn", "-f", "helm/firn/values-kind.yaml"]
    command += ["--namespace", namespace, "--create-namespace", "--set", ",".join([*images, *more])]
    command += ["--wait", "--timeout", f"{INSTALL_SECONDS}s"]
    workshop.progress.say(f"$ {' '.join(command)}")
    with workshop.progress.step("waiting for the services, the operator and the S3 server", 60):
        run([helm, *command[1:]], env=site.environment, cwd=workshop.layout.checkout)
    return site


def _is_installed(site: Site, namespace: str) -> bool:
    return succeeds([site.helm, "status", "firn", "--namespace", namespace], env=site.environment)


def _set_up(workshop: Workshop, name: str) -> Site:
    cluster = workshop.up(name)
    workshop.progress.say(f"$ kind create cluster --config kind-config.yaml --name {name}    (it is up)")
    tags = FirnImages(workshop).build(cluster.docker)
    load_images(cluster, tags, workshop.progress)
    workshop.progress.say(f"$ kind load docker-image {' '.join(tags.values())} --name {name}    (they are there)")
    return install(workshop, cluster, tags)


def _prepare(tpch: Tpch, progress: Progress) -> None:
    """Bring data, queries and right answers into the cache, beside the set-up."""
    with progress.step(f"TPC-H data and answers at scale factor {tpch.scale}", 60):
        for number in QUERIES:
            tpch.answer(number)


def _finish(prepared: Future[None], progress: Progress) -> None:
    if not prepared.done():
        progress.say("waiting for TPC-H data and answers")
    prepared.result()


async def _register(site: Site, tpch: Tpch, uris: Mapping[str, Sequence[str]], progress: Progress) -> None:
    async with site.client() as client:
        tables = await tpch.register(client, {table: tuple(files) for table, files in uris.items()}, progress.say)
    rows, size = sum(table.rows for table in tables), sum(table.size_bytes for table in tables)
    progress.say(f"{len(tables)} Iceberg tables in {DATABASE}.{tpch.schema}: {rows:,} rows, {bytes_text(size)}")


async def _queries(site: Site, tpch: Tpch) -> list[int]:
    """Run the 22 queries by `firn sql`, print a line for each, and return those with wrong answers."""
    say(f"$ firn sql -n {NAMESPACE} -w {WAREHOUSE} -d {DATABASE} -s {tpch.schema} -f q1.sql    … to q22.sql\n")
    say(f"  {'query':>5}  {'time':>9}  {'read':>10}  {'rows':>6}  answer")
    wrong: list[int] = []
    seconds, read = 0.0, 0
    async with site.client() as client:
        for number in QUERIES:
            table, reply = await _ask(site, tpch, client, tpch.queries[number])
            found = difference(tpch.answer(number), as_answer(table), tpch.order_by(number))
            statistics = reply.statistics
            took, size = _seconds(reply), statistics.bytes_scanned if statistics else 0
            seconds, read = seconds + took, read + size
            verdict = "right" if found is None else f"WRONG: {found}"
            say(f"  {f'q{number}':>5}  {seconds_text(took):>9}  {bytes_text(size):>10}  {table.num_rows:>6}  {verdict}")
            if found is not None:
                wrong.append(number)
    say(f"  {'all':>5}  {seconds_text(seconds):>9}  {bytes_text(read):>10}          {22 - len(wrong)} of 22 right\n")
    return wrong


async def _suspend_and_resume(site: Site, tpch: Tpch) -> None:
    """Wait for the auto-suspend, resume by one query, and show what each step of that took."""
    async with site.client() as client:
        idle = (await client.warehouse(WAREHOUSE)).auto_suspend_seconds
        say(f"Idle for {idle} s the warehouse suspends:")
        deadline = time.monotonic() + idle + SUSPEND_PATIENCE_SECONDS
        while (await client.warehouse(WAREHOUSE)).state != "Suspended":
            if time.monotonic() > deadline:
                raise LocalError(f"warehouse {WAREHOUSE} did not suspend; see: kubectl describe vw -n {NAMESPACE}")
            await asyncio.sleep(0.5)
        say(site.run("kubectl", "get", "vw,wc,wp", "-n", NAMESPACE))
        say(f"One more query resumes it, by these steps:\n  {RESUME_QUERY}\n")
        _, reply = await _ask(site, tpch, client, RESUME_QUERY)
        steps = [(STEP_WORDS.get(step.step, step.step), step.at) for step in reply.steps]
        say("\n".join(f"  {line}" for line in timeline(reply.submitted_at, steps)) + "\n")
        say(site.run("kubectl", "get", "vw,wc,wp", "-n", NAMESPACE))


async def _ask(site: Site, tpch: Tpch, client: Client, sql: str) -> tuple[pa.Table, StatementReply]:
    """Run one query by the `firn sql` command; return its rows, and the statement as the services remember it."""
    command = ["firn", "sql", "-n", NAMESPACE, "-w", WAREHOUSE, "-d", DATABASE, "-s", tpch.schema, "-o", "arrow"]
    child = await asyncio.create_subprocess_exec(
        str(Path(sys.prefix) / "bin" / command[0]),
        *command[1:],
        env={**os.environ, **site.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await child.communicate(sql.encode())
    words = err.decode(errors="replace").strip()
    if child.returncode != 0:
        raise LocalError(f"{' '.join(command)} failed:\n{words}\n\n{sql}")
    statement_id = words.splitlines()[-1].rpartition(" · ")[2]
    return pa.ipc.open_stream(out).read_all(), await client.statement(statement_id)


def _seconds(reply: StatementReply) -> float:
    return (reply.ended_at - reply.submitted_at).total_seconds() if reply.ended_at is not None else 0.0


def _say_what_next(site: Site, tpch: Tpch) -> None:
    programs = f"{Path(sys.prefix) / 'bin'}:{site.cluster.kubectl.parent}"
    say(f"""It is all still running. To use it from this shell:

  export PATH={programs}:$PATH KUBECONFIG={site.kubeconfig}

  firn sql -n {NAMESPACE} -w {WAREHOUSE} -d {DATABASE} -s {tpch.schema}      a prompt; try: {TRY_THIS}
  firn warehouse list -n {NAMESPACE}
  kubectl get vw,wc,wp -n {NAMESPACE} --watch

  make bench-resume      measures resumes
  make down              takes all of it away
""")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
