"""From a deployment to its container, as a pure value; the engine executes it elsewhere."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

from portal.core import ports
from portal.core.engine import (
    LABEL_DEPLOYMENT,
    LABEL_GPUS,
    LABEL_OWNER,
    LABEL_PORTAL,
    ContainerSpec,
)
from portal.core.models import Deployment
from portal.core.people import Certificate, User
from portal.core.resources import GIB
from portal.core.settings import Settings

HOME = "/home/scientist"
TMP = "/tmp"
TMPFS = "rw,exec,nosuid,nodev,size=1g,mode=1777"
"""For containers that only try something: temporary files of people's are on disk."""
THREADS = (
    "OMP_NUM_THREADS",  # PyTorch, scikit-learn, XGBoost: what is built on OpenMP
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",  # tokenizers
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "LOKY_MAX_CPU_COUNT",  # joblib
    "PYTHON_CPU_COUNT",  # os.cpu_count() from Python 3.13
)
SHM_SHARE = 0.25  # of the memory limit; PyTorch's data loaders need more than Docker's 64 MB


def container_name(deployment_id: str) -> str:
    """The one name a deployment's container ever has: finding it again needs no record."""
    return f"portal-{deployment_id}"


def home_volume(owner: User) -> str:
    """The user's home on a VM; it survives every container."""
    return f"portal-home-{owner.id}-{re.sub(r'[^a-z0-9]+', '-', owner.subject.lower())[:80]}"


def network(settings: Settings, whose: object) -> tuple[str, str]:
    """(network, bridge) of a user's containers on a VM: nobody else's are on it.

    `whose`: the user's id.

    Two portals may use one VM, so their addresses are part of the names. The VM's firewall knows
    bridges by "cp-"; an interface's name has 15 characters at most (Linux, IFNAMSIZ).
    """
    instance = hashlib.sha256(settings.public_origin.encode()).hexdigest()[:4]
    return f"portal-{instance}-{whose}", f"cp-{instance}-{whose}"


def environment(token: str, *, gpus: bool, ssh_keys: str = "") -> dict[str, str]:
    """The variables of a container. `ssh_keys`: OpenSSH public keys, one a line; "" for no SSH.

    CUDA bases ask for every GPU of the machine; where NVIDIA's runtime is the engine's usual one, a
    container that leased none would get them all.
    """
    variables = {"PORTAL_TOKEN": token}
    if not gpus:
        variables["NVIDIA_VISIBLE_DEVICES"] = "void"
    if ssh_keys:
        variables["PORTAL_SSH_KEYS"] = ssh_keys
    return variables


def proxy_environment(settings: Settings) -> dict[str, str]:
    """Variables that lead programs to the proxy where VMs let nothing else out, not even DNS."""
    if settings.egress != "proxy" or not settings.egress_proxy:
        return {}
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")  # curl reads the small ones
    local = {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    return local | dict.fromkeys(names, f"http://{settings.egress_proxy}")


def threads_environment(cpus: float) -> dict[str, str]:
    """Variables that keep libraries from starting a thread for each CPU of the whole VM."""
    return dict.fromkeys(THREADS, str(max(1, math.ceil(cpus))))


def ssh_keys(owner: User, cards: Sequence[Certificate]) -> str:
    """Keys that may open the container by SSH: of the owner's cards, and those they added."""
    added = (key.key for key in owner.ssh_keys)
    return "\n".join((*(_until_it_ends(card) for card in cards), *added))


def _until_it_ends(card: Certificate) -> str:
    """A line of authorized_keys (sshd(8))."""
    if card.not_after is None:
        return card.ssh_key
    return f'expiry-time="{card.not_after:%Y%m%d%H%M%S}" {card.ssh_key}'


def spec_for(
    deployment: Deployment, settings: Settings, cards: Sequence[Certificate] = ()
) -> ContainerSpec:
    """The container of a deployment that holds a slot; `cards` are its owner's."""
    if deployment.slot is None or deployment.vm is None:
        raise ValueError(f"deployment {deployment.id} holds no ports on a VM")
    numbers = ports.slot_ports(deployment.owner.own_range, deployment.slot, ssh=deployment.ssh)
    memory = int(deployment.memory_gb * GIB)
    network_name, bridge = network(settings, deployment.owner.id)
    return ContainerSpec(
        name=container_name(deployment.id),
        image=deployment.release.reference,
        labels={
            LABEL_PORTAL: settings.public_origin,
            LABEL_DEPLOYMENT: deployment.id,
            LABEL_OWNER: deployment.owner.subject,
            LABEL_GPUS: ",".join(deployment.gpu_uuids),
        },
        environment=proxy_environment(settings)
        | threads_environment(deployment.cpus)
        | environment(
            deployment.jupyter_token,
            gpus=bool(deployment.gpu_uuids),
            ssh_keys=ssh_keys(deployment.owner, cards) if deployment.ssh else "",
        ),
        publish={
            s.container_port: (deployment.vm.address, number) for s, number in numbers.items()
        },
        volumes={home_volume(deployment.owner): HOME},
        tmpfs={},
        scratch={TMP: int(settings.scratch_gb * GIB)},
        memory_bytes=memory,
        shm_bytes=max(int(memory * SHM_SHARE), 64 * 2**20),
        cpus=deployment.cpus,
        pids=settings.container_pids,
        hostname=deployment.name,
        gpus=deployment.gpu_uuids,
        gpu_access=(deployment.vm.gpu_access or "") if deployment.gpu_uuids else "",
        network=network_name,
        bridge=bridge,
    )
