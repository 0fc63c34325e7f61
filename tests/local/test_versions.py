import re

import pytest
from firn_local.layout import Layout
from firn_local.versions import load

LOCAL = Layout.from_environment().local
VERSIONS = load(LOCAL / "versions.toml")
PINNED = {name: module for name, module in VERSIONS.modules.items() if not module.module.startswith("firn.dev/")}


@pytest.mark.parametrize("name", PINNED)
def test_the_version_that_a_person_reads_is_the_one_that_is_built(name):
    text = (LOCAL / "go" / name / "go.mod").read_text()
    required = re.findall(rf"^(?:require |\t){re.escape(PINNED[name].module)} (\S+)", text, re.MULTILINE)
    assert required == [PINNED[name].version]


@pytest.mark.parametrize("name", PINNED)
def test_every_module_is_pinned_by_checksum(name):
    sums = (LOCAL / "go" / name / "go.sum").read_text()
    assert f"{PINNED[name].module} {PINNED[name].version} h1:" in sums


def test_the_images_of_the_node_are_named_after_what_is_in_them():
    names = VERSIONS.names
    assert VERSIONS.kubernetes == VERSIONS.modules["kubernetes"].version
    assert names.etcd_tag.startswith(VERSIONS.modules["etcd"].version.removeprefix("v"))
    assert names.coredns_tag == VERSIONS.modules["coredns"].version
    assert names.provisioner_tag == VERSIONS.modules["local-path-provisioner"].version
