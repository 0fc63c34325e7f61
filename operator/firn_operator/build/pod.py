"""The pod of a node, warm from the start and bound late."""

import hashlib
import json
from typing import Any

from firn_model import names
from firn_model.pools import PoolSpec

from firn_operator.build.quantities import whole_bytes, whole_cores

NODE_USER = 65532
LOCAL_DIR = "/var/lib/firn"
GRACE_SECONDS = 5
Manifest = dict[str, Any]


def node_name(pool: str, slot: int) -> str:
    """Return the name of a slot's pod; creating it twice gives one pod."""
    return f"{pool}-{slot}"


def template_hash(spec: PoolSpec, public_key: str) -> str:
    """Return the hash of everything that makes the pool's pods what they are; another hash means outdated."""
    text = json.dumps([_pod_spec(spec, public_key), spec.pod_template.annotations], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def node_pod(pool: str, pool_uid: str, spec: PoolSpec, slot: int, public_key: str, boot_failures: int) -> Manifest:
    """Return the manifest of a warm node."""
    annotations = {**spec.pod_template.annotations, names.ANNOTATION_BOOT_FAILURES: str(boot_failures)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": node_name(pool, slot),
            "labels": {
                names.LABEL_PART_OF: names.PART_OF,
                names.LABEL_COMPONENT: names.COMPONENT_NODE,
                names.LABEL_POOL: pool,
                names.LABEL_SLOT: str(slot),
                names.LABEL_STATE: names.STATE_WARM,
                names.LABEL_TEMPLATE: template_hash(spec, public_key),
            },
            "annotations": annotations,
            "ownerReferences": [owner("WarehousePool", pool, pool_uid)],
        },
        "spec": _pod_spec(spec, public_key),
    }


def owner(kind: str, name: str, uid: str) -> Manifest:
    """Return the reference to the object that controls another, without blocking the owner's deletion."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _pod_spec(spec: PoolSpec, public_key: str) -> Manifest:
    overrides = spec.pod_template
    pod: Manifest = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NODE_USER,
            "runAsGroup": NODE_USER,
            "fsGroup": NODE_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, public_key)],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "local", "emptyDir": {"sizeLimit": spec.node.local_storage}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": spec.node.shared_memory}},
        ],
    }
    optional = {
        "nodeSelector": dict(overrides.node_selector),
        "tolerations": [dict(t) for t in overrides.tolerations],
        "priorityClassName": overrides.priority_class_name,
        "runtimeClassName": overrides.runtime_class_name,
        "imagePullSecrets": [{"name": n} for n in overrides.image_pull_secrets],
    }
    return pod | {key: value for key, value in optional.items() if value}


def _container(spec: PoolSpec, public_key: str) -> Manifest:
    node = spec.node
    return {
        "name": "node",
        "image": spec.image,
        "imagePullPolicy": spec.image_pull_policy,
        "env": _environment(spec, public_key),
        "ports": [{"name": names.AGENT_PORT_NAME, "containerPort": names.AGENT_PORT}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": names.AGENT_PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "resources": {
            "requests": {"cpu": node.cpu_request, "memory": node.memory_request},
            "limits": {"cpu": node.cpu, "memory": node.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  the pod's own
            {"name": "local", "mountPath": LOCAL_DIR},
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108  the pod's own
        ],
    }


def _environment(spec: PoolSpec, public_key: str) -> list[Manifest]:
    cores = str(whole_cores(spec.node.cpu))
    fixed = {
        "FIRN_PUBLIC_KEY": public_key,
        "FIRN_CPU": cores,
        "FIRN_MEMORY_BYTES": str(whole_bytes(spec.node.memory)),
        "FIRN_SHARED_MEMORY_BYTES": str(whole_bytes(spec.node.shared_memory)),
        "FIRN_LOCAL_DIR": LOCAL_DIR,
        "FIRN_LOCAL_STORAGE_BYTES": str(whole_bytes(spec.node.local_storage)),
        "OMP_NUM_THREADS": cores,
        "HOME": "/tmp",  # noqa: S108  the pod's own
    }
    fields = {
        "FIRN_POD_NAME": "metadata.name",
        "FIRN_POD_UID": "metadata.uid",
        "FIRN_POD_IP": "status.podIP",
    }
    return [
        *({"name": n, "valueFrom": {"fieldRef": {"fieldPath": p}}} for n, p in fields.items()),
        *({"name": n, "value": v} for n, v in fixed.items()),
    ]
