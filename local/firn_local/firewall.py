"""What a Docker daemon leaves in the machine's network settings, and taking it away again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path

from firn_local.command import run
from firn_local.errors import DaemonFailed

TABLES = ("nat", "filter")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
WATCHERS = Path("/proc/sys/fs/inotify/max_user_instances")
WATCHERS_NEEDED = 1024
"""A node takes about 20; with the kernel's default of 128 the seventh kubelet does not start."""
CANDIDATES = tuple(IPv4Network(f"10.{second}.0.0/16") for second in (250, 251, 252, 253, 254, 249, 248))
"""Ranges for the daemon's networks; the first that no route of the machine overlaps is taken."""


@dataclass(frozen=True, slots=True)
class Before:
    """The machine's settings before our daemon was started for the first time."""

    address_range: str
    forwarding: str
    rules: dict[str, str]
    """What iptables-save says of each table."""
    nft_tables: tuple[str, ...]
    watchers: str = ""
    """How many inotify instances a user may have; empty when it was not recorded."""

    @classmethod
    def read(cls, file: Path) -> Before | None:
        """Return what was recorded, or None."""
        if not file.exists():
            return None
        raw = json.loads(file.read_text())
        return cls(**{**raw, "nft_tables": tuple(raw["nft_tables"])})

    @classmethod
    def take(cls) -> Before:
        """Look at the machine now."""
        return cls(
            address_range=str(free_range(run(["ip", "-4", "route", "show", "table", "all"]))),
            forwarding=FORWARDING.read_text().strip(),
            rules=_rules(_nft_tables()),
            nft_tables=_nft_tables(),
            watchers=WATCHERS.read_text().strip(),
        )

    def write(self, file: Path) -> None:
        """Record it, whole or not at all."""
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.rename(file)


def free_range(routes: str) -> IPv4Network:
    """Return the first candidate that no destination in the output of ``ip route`` overlaps."""
    taken = []
    for word in (line.split()[0 if line[0].isdigit() else 1] for line in routes.splitlines() if len(line.split()) > 1):
        if word[0].isdigit():
            taken.append(IPv4Network(word, strict=False))
    for candidate in CANDIDATES:
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise DaemonFailed(f"no address range is free for Docker's networks; tried {', '.join(map(str, CANDIDATES))}")


def removals(table: str, before: str, after: str, bridges: Sequence[str]) -> list[list[str]]:
    """Return the iptables commands that take Docker's additions out of a table.

    ``before`` and ``after`` are what iptables-save says. Only what is new is touched, and of that only rules that name
    one of Docker's chains or of our bridges: whatever else somebody added in the meantime stays.
    """
    old_lines = set(before.splitlines())
    old_chains = {line.split()[0] for line in old_lines if line.startswith(":")}
    new_chains = [
        line.split()[0][1:]
        for line in after.splitlines()
        if line.startswith(":DOCKER") and line.split()[0] not in old_chains
    ]
    commands = []
    for line in after.splitlines():
        words = shlex.split(line)
        ours = any(word.startswith("DOCKER") and word in new_chains for word in words) or set(words) & set(bridges)
        if line.startswith("-A") and line not in old_lines and ours and words[1] not in new_chains:
            commands.append(["iptables", "-w", "-t", table, "-D", *words[1:]])
    commands += [["iptables", "-w", "-t", table, "-F", chain] for chain in new_chains]
    commands += [["iptables", "-w", "-t", table, "-X", chain] for chain in new_chains]
    if new_chains and ":FORWARD DROP" in after and ":FORWARD DROP" not in before:
        commands.append(["iptables", "-w", "-t", table, "-P", "FORWARD", "ACCEPT"])
    return commands


def is_empty(rules: str) -> bool:
    """Tell whether a table has neither rules nor chains of its own, by what iptables-save says of it."""
    chains = [line.split() for line in rules.splitlines() if line.startswith(":")]
    return "\n-A" not in rules and all(policy == "ACCEPT" for _, policy, *_ in chains)


def allow_watchers() -> None:
    """Let several clusters' kubelets and containers watch files."""
    if int(WATCHERS.read_text()) < WATCHERS_NEEDED:
        WATCHERS.write_text(str(WATCHERS_NEEDED))


def restore(before: Before, bridges: Sequence[str]) -> None:
    """Take away the rules, chains, tables and settings that our daemon added."""
    for table, after in _rules(_nft_tables()).items():
        for command in removals(table, before.rules.get(table, ""), after, bridges):
            run(command)
    now = _nft_tables()
    for table, rules in _rules(now).items():
        name = f"ip {table}"
        if name in now and name not in before.nft_tables and is_empty(rules):
            run(["nft", "delete", "table", *name.split()])
    if FORWARDING.read_text().strip() != before.forwarding:
        FORWARDING.write_text(before.forwarding)
    if before.watchers and WATCHERS.read_text().strip() != before.watchers:
        WATCHERS.write_text(before.watchers)


def _rules(nft_tables: Sequence[str]) -> dict[str, str]:
    """Return what iptables-save says of each table that is there; asking for another would make it."""
    legacy = "nf_tables" not in run(["iptables", "--version"])
    return {table: run(["iptables-save", "-t", table]) for table in TABLES if legacy or f"ip {table}" in nft_tables}


def _nft_tables() -> tuple[str, ...]:
    listed = run(["nft", "list", "tables"])
    return tuple(line.removeprefix("table ").strip() for line in listed.splitlines())
