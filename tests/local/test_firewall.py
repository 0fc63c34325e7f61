from ipaddress import IPv4Network

import pytest
from firn_local.errors import DaemonFailed
from firn_local.firewall import CANDIDATES, free_range, is_empty, removals

BEFORE = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
-A INPUT -p tcp -m comment --comment "somebody's own" -j ACCEPT
COMMIT
"""
AFTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:LATER - [0:0]
-A INPUT -p tcp -m comment --comment "somebody's own" -j ACCEPT
-A INPUT -s 192.0.2.1/32 -j DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -i firn-abc -o firn-abc -j ACCEPT
-A FORWARD -i eth9 -j LATER
-A DOCKER -d 10.250.1.2/32 ! -i firnk-abc -o firnk-abc -p tcp -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""


def test_only_what_docker_added_is_removed_and_rules_go_before_their_chains():
    commands = removals("filter", BEFORE, AFTER, ("firn-abc", "firnk-abc"))
    assert [command[4:] for command in commands] == [
        ["-D", "FORWARD", "-j", "DOCKER-USER"],
        ["-D", "FORWARD", "-i", "firn-abc", "-o", "firn-abc", "-j", "ACCEPT"],
        ["-F", "DOCKER"],
        ["-F", "DOCKER-USER"],
        ["-X", "DOCKER"],
        ["-X", "DOCKER-USER"],
        ["-P", "FORWARD", "ACCEPT"],
    ]


def test_another_docker_keeps_its_chains():
    commands = removals("filter", AFTER, AFTER + "-A FORWARD -i firn-abc -j ACCEPT\n", ("firn-abc",))
    assert [command[4:] for command in commands] == [["-D", "FORWARD", "-i", "firn-abc", "-j", "ACCEPT"]]


def test_nothing_changed_means_nothing_to_remove():
    assert removals("filter", BEFORE, BEFORE, ("firn-abc",)) == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", True),
        ("*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n", False),
        ("*nat\n:MINE - [0:0]\nCOMMIT\n", False),
        ("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\nCOMMIT\n", False),
    ],
)
def test_a_table_is_empty_without_rules_chains_and_policies(rules, expected):
    assert is_empty(rules) is expected


def test_the_first_range_without_a_route_is_taken():
    assert free_range("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0\n") == CANDIDATES[0]
    assert free_range("local 10.250.1.1 dev x table local\n") == CANDIDATES[1]
    assert free_range("blackhole 10.250.0.0/15\n10.252.3.0/24 dev y\n") == IPv4Network("10.253.0.0/16")


def test_no_free_range_is_an_error():
    with pytest.raises(DaemonFailed, match="no address range is free"):
        free_range("10.0.0.0/8 dev tun0\n")
