import json
import subprocess

import pytest
from firn_local.control_plane import ControlPlane
from firn_local.layout import Layout
from firn_local.progress import Progress
from firn_local.workshop import Workshop

pytestmark = pytest.mark.component


def kubectl(kubeconfig, *arguments, stdin=None):
    program = Workshop.open(Layout.from_environment(), Progress()).kubectl()
    command = [program, "--kubeconfig", kubeconfig, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_objects_are_stored_and_validated(control_plane):
    made = kubectl(control_plane.kubeconfig, "create", "namespace", "stored")
    assert made.returncode == 0, made.stderr
    listed = json.loads(kubectl(control_plane.kubeconfig, "get", "namespaces", "--output=json").stdout)
    assert "stored" in {item["metadata"]["name"] for item in listed["items"]}
    refused = kubectl(control_plane.kubeconfig, "create", "namespace", "Not_A_Name")
    assert "Invalid value" in refused.stderr


def test_rbac_binds_other_users(control_plane):
    other = control_plane.kubeconfig_for("somebody", "people")
    refused = kubectl(other, "get", "configmaps")
    assert 'User "somebody" cannot list resource "configmaps"' in refused.stderr
    admin = control_plane.kubeconfig
    kubectl(admin, "create", "role", "reader", "--verb=list,get", "--resource=configmaps")
    kubectl(admin, "create", "rolebinding", "reader", "--role=reader", "--group=people")
    assert kubectl(other, "get", "configmaps").returncode == 0


def test_nothing_is_left_of_it():
    with ControlPlane() as running:
        folder, processes = running.kubeconfig.parent, list(running._processes.values())
        assert folder.is_dir()
    assert not folder.exists()
    assert all(process.poll() is not None for process in processes)
