from pathlib import Path

import pytest
import yaml
from firn_local.errors import ClusterFailed
from firn_local.kind_config import ARCHIVES_IN_NODE, DEFAULT_NAME, HostPorts, choose_ports, derive
from firn_local.versions import ImageNames

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "kind-config.yaml").read_text())
NAMES = ImageNames("localhost/k8s", etcd_tag="3.6", coredns_tag="v1", pause_tag="3", provisioner_tag="v0")


def host_ports(config: dict) -> dict[int, int]:
    return {
        mapping["containerPort"]: mapping["hostPort"]
        for node in config["nodes"]
        for mapping in node.get("extraPortMappings", [])
    }


def test_the_configuration_of_a_user_is_used_as_it_is():
    assert derive(CONFIG, DEFAULT_NAME, HostPorts(30080, 30090), None, None) == CONFIG


def test_the_nodes_are_one_control_plane_one_control_worker_and_one_pool_worker():
    roles = [(node["role"], node.get("labels", {}).get("firn.dev/role")) for node in CONFIG["nodes"]]
    assert roles == [("control-plane", None), ("worker", "control"), ("worker", "pool")]


def test_ports_lead_from_loopback_only():
    mappings = [mapping for node in CONFIG["nodes"] for mapping in node.get("extraPortMappings", [])]
    assert [mapping["listenAddress"] for mapping in mappings] == ["127.0.0.1", "127.0.0.1"]


def test_another_cluster_has_its_own_name_and_host_ports_and_leaves_the_original_alone():
    derived = derive(CONFIG, "other", HostPorts(31000, 31001), None, None)
    assert derived["name"] == "other"
    assert host_ports(derived) == {30080: 31000, 30090: 31001}
    assert host_ports(CONFIG) == {30080: 30080, 30090: 30090}


def test_our_own_image_is_named_to_kubeadm_after_the_patches_that_are_there():
    derived = derive(CONFIG, "other", HostPorts(31000, 31001), NAMES, None)
    there = len(CONFIG["kubeadmConfigPatches"])
    assert derived["kubeadmConfigPatches"][:there] == CONFIG["kubeadmConfigPatches"]
    added = {patch["kind"]: patch for patch in map(yaml.safe_load, derived["kubeadmConfigPatches"][there:])}
    assert added["ClusterConfiguration"]["imageRepository"] == "localhost/k8s"
    assert added["ClusterConfiguration"]["etcd"] == {"local": {"imageTag": "3.6"}}
    assert added["KubeletConfiguration"]["cgroupDriver"] == "cgroupfs"


def test_every_node_of_our_daemon_can_read_the_image_archives(tmp_path):
    derived = derive(CONFIG, "other", HostPorts(31000, 31001), NAMES, tmp_path)
    mount = {"hostPath": str(tmp_path), "containerPath": ARCHIVES_IN_NODE, "readOnly": True}
    assert [node["extraMounts"] for node in derived["nodes"]] == [[mount]] * 3


def test_the_default_cluster_insists_on_its_ports():
    assert choose_ports(DEFAULT_NAME, lambda port: True) == HostPorts(30080, 30090)
    with pytest.raises(ClusterFailed, match=r"port 30090 of 127\.0\.0\.1 is taken"):
        choose_ports(DEFAULT_NAME, lambda port: port != 30090)


def test_another_cluster_takes_the_same_free_pair_each_time_and_the_next_when_it_is_taken():
    first = choose_ports("firn-test", lambda port: True)
    assert choose_ports("firn-test", lambda port: True) == first
    assert first.s3 == first.api + 1
    after = choose_ports("firn-test", lambda port: port != first.s3)
    assert {after.api, after.s3}.isdisjoint({first.api, first.s3})


def test_no_free_pair_is_an_error():
    with pytest.raises(ClusterFailed, match="no two ports are free"):
        choose_ports("firn-test", lambda port: port % 2 == 0)
