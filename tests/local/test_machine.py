import pytest
from firn_local import workshop as workshop_module
from firn_local.errors import MissingRequirements
from firn_local.layout import Layout
from firn_local.machine import CAP_SYS_RESOURCE, Machine, explain_missing, find_program, has_capability
from firn_local.progress import Progress
from firn_local.workshop import Workshop

ROOT_ON_DEBIAN = Machine(is_root=True, has_apt=True, system="Linux", architecture="x86_64")
USER = Machine(is_root=False, has_apt=True, system="Linux", architecture="x86_64")


def test_root_on_debian_gets_everything_by_itself():
    assert explain_missing(ROOT_ON_DEBIAN, {"dockerd": "docker.io"}) == []


def test_another_user_is_told_every_missing_thing_and_its_package():
    lines = explain_missing(USER, {"jq": "jq", "dockerd": "docker.io"}, ["a kitchen sink"])
    assert lines == [
        "a kitchen sink",
        "dockerd (as root: apt-get install docker.io)",
        "jq (as root: apt-get install jq)",
    ]


def test_another_system_is_named_beside_what_is_missing():
    machine = Machine(is_root=False, has_apt=False, system="Darwin", architecture="arm64")
    lines = explain_missing(machine, {"jq": "jq"})
    assert lines == ["Linux on x86_64 (this is Darwin on arm64)", "jq (from the Debian package jq)"]


def test_one_error_names_everything_before_anything_is_installed(monkeypatch, tmp_path):
    layout = Layout(Layout.from_environment().checkout, cache=tmp_path / "cache", state=tmp_path / "state")
    shop = Workshop.open(layout, Progress())
    missing = {"dockerd": "docker.io", "debootstrap": "debootstrap"}
    monkeypatch.setattr(Machine, "here", lambda: USER)
    monkeypatch.setattr(workshop_module, "missing_packages", lambda programs, packages: missing)
    with pytest.raises(MissingRequirements) as caught:
        shop.require(["dockerd", "debootstrap"], ["a Docker daemon"])
    assert len(caught.value.missing) == 3
    assert all(word in str(caught.value) for word in ("a Docker daemon", "docker.io", "debootstrap"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("effective", "expected"), [("000001fffeffffff", False), ("000001ffffffffff", True)])
def test_capabilities_are_read_from_the_status(effective, expected):
    assert has_capability(CAP_SYS_RESOURCE, f"Name:\tx\nCapEff:\t{effective}\n") is expected


def test_a_header_is_there_without_being_executable(tmp_path):
    header = tmp_path / "stdio.h"
    assert find_program(str(header)) is None
    header.write_text("")
    assert find_program(str(header)) == header
