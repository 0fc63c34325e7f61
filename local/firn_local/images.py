"""Firn's images, built where something changed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from firn_local.cache import Json, key_of
from firn_local.docker import Docker
from firn_local.steps import Step, run_steps
from firn_local.wheels import lock_key, locked_wheels, member_key, member_wheel
from firn_local.workshop import ROOTFS_PROGRAMS, Workshop

CONTENT_LABEL = "firn.dev/content"


@dataclass(frozen=True, slots=True)
class PythonImage:
    """An image with a part of this repository."""

    name: str
    lock: str
    members: tuple[str, ...]
    role: str
    """Which nodes run it: those with this value of the label firn.dev/role."""


PYTHON_IMAGES = (
    PythonImage("control", "control.txt", ("model", "operator", "services"), role="control"),
    PythonImage("node", "node.txt", ("model", "runtime"), role="pool"),
)
OBJECT_STORE = "object-store"
ROLES = {**{image.name: image.role for image in PYTHON_IMAGES}, OBJECT_STORE: "control"}
"""Image name → role of the nodes that run it."""


@dataclass(frozen=True, slots=True)
class FirnImages:
    """Builds the images control, node and object-store."""

    workshop: Workshop

    def build(self, docker: Docker) -> dict[str, str]:
        """Return the immutable tag of each image, by image name, building those that the daemon lacks.

        A tag is a hash of all that the image is made of. The newest build also has the tag ``dev``.
        """
        self._prepare(docker)
        base = self._base(docker)
        tags = {image.name: f"firn/{image.name}:{self._python_key(image, base)}" for image in PYTHON_IMAGES}
        tags[OBJECT_STORE] = f"firn/{OBJECT_STORE}:{self._store_key(base)}"
        for name, tag in tags.items():
            if not docker.has_image(tag):
                with self.workshop.progress.step(f"image {tag}", 60):
                    self._build(docker, name, tag, base)
            docker.run("tag", tag, f"firn/{name}:dev")
        return tags

    def _prepare(self, docker: Docker) -> None:
        """Bring everything that needs a network into the cache, side by side."""
        workshop = self.workshop
        layout, cache = workshop.layout, workshop.cache
        workshop.require(workshop.programs_to_build(workshop.unbuilt(["versitygw"])))
        steps = workshop.build_steps(["versitygw"])
        for image in PYTHON_IMAGES:
            lock = layout.checkout / "locks" / image.lock
            if not cache.has(f"wheels-{lock.stem}", lock_key(lock)):
                fetch = partial(locked_wheels, layout, cache, lock)
                steps.append(Step(f"fetching the wheels of {image.lock}", fetch, seconds=40))
        for member in dict.fromkeys(member for image in PYTHON_IMAGES for member in image.members):
            if not cache.has(f"wheel-{member}", member_key(layout, member)):
                steps.append(Step(f"wheel of {member}", partial(member_wheel, layout, cache, member), seconds=2))
        steps.extend(workshop.leaf.steps(workshop.progress))
        rootfs = workshop.rootfs("base")
        if self._published_base(docker) is None and not cache.has("rootfs-base", rootfs.key):
            workshop.require(ROOTFS_PROGRAMS)
            steps.append(Step("Debian root file system of the images", rootfs.tar, seconds=60))
        run_steps(steps, workshop.progress)

    def _published_base(self, docker: Docker) -> str | None:
        """Return the published base image where it is at hand; our own daemon never asks for it."""
        published = self.workshop.versions.published_base
        if docker.has_image(published) or (not docker.is_ours and docker.pull(published)):
            return published
        return None

    def _base(self, docker: Docker) -> str:
        if published := self._published_base(docker):
            return published
        rootfs = self.workshop.rootfs("base")
        own = f"localhost/firn/base:{rootfs.key}"
        if not docker.has_image(own):
            with rootfs.tar().open("rb") as stream:
                docker.run("import", "-", own, stdin=stream)
        return own

    def _python_key(self, image: PythonImage, base: str) -> str:
        layout = self.workshop.layout
        members: dict[str, Json] = {member: member_key(layout, member) for member in image.members}
        lock = lock_key(layout.checkout / "locks" / image.lock)
        inputs: dict[str, Json] = {**self._file_inputs(image.name, base), "lock": lock, "members": members}
        if self._leaf(image) is not None:
            inputs["leaf"] = self.workshop.leaf.key
        return key_of(inputs)

    def _leaf(self, image: PythonImage) -> Path | None:
        """Return the folder of the engine's leaf, for the image with the engine and where it could be built."""
        return self.workshop.leaf.wheel if "runtime" in image.members else None

    def _store_key(self, base: str) -> str:
        program = self.workshop.builder().key(self.workshop.versions.modules["versitygw"])
        return key_of({**self._file_inputs(OBJECT_STORE, base), "program": program})

    def _file_inputs(self, name: str, base: str) -> dict[str, Json]:
        return {"file": self._dockerfile(name).read_text(), "base": base}

    def _dockerfile(self, name: str) -> Path:
        return self.workshop.layout.checkout / "images" / f"{name}.Dockerfile"

    def _build(self, docker: Docker, name: str, tag: str, base: str) -> None:
        with tempfile.TemporaryDirectory(dir=self.workshop.cache.root, prefix=".context-") as context:
            self._fill(name, Path(context))
            content = tag.partition(":")[2]
            options = [
                "--network",
                "none",
                "--build-arg",
                f"BASE_IMAGE={base}",
                "--label",
                f"{CONTENT_LABEL}={content}",
            ]
            log = self.workshop.layout.logs / f"image-{name}.log"
            docker.run("build", *options, "--tag", tag, "--file", self._dockerfile(name), context, log=log)

    def _fill(self, name: str, context: Path) -> None:
        workshop = self.workshop
        if name == OBJECT_STORE:
            shutil.copy2(workshop.program("versitygw"), context / "versitygw")
            return
        image = next(image for image in PYTHON_IMAGES if image.name == name)
        lock = workshop.layout.checkout / "locks" / image.lock
        leaf = self._leaf(image)
        dependencies = [locked_wheels(workshop.layout, workshop.cache, lock), *([leaf] if leaf is not None else [])]
        _link_wheels(dependencies, context / "dependencies")
        members = [member_wheel(workshop.layout, workshop.cache, member) for member in image.members]
        _link_wheels(members, context / "members")


def _link_wheels(sources: Sequence[Path], target: Path) -> None:
    target.mkdir()
    for wheel in (wheel for source in sources for wheel in source.glob("*.whl")):
        os.link(wheel, target / wheel.name)
