#!/bin/sh
# The only command that the portal's SSH key may run on a user VM (authorized_keys: command="…/portal-gate").
# It looks at the GPUs and at the VM's health, and changes nothing. Installed on each VM as
# /usr/local/bin/portal-gate by setup-vm.sh.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fields=index,uuid,name,memory.total,memory.used,utilization.gpu,temperature.gpu,driver_version,mig.mode.current
smi() { timeout 10 nvidia-smi "$@" 2>&1; }

gpu_probe() {
    echo "== pci"
    cat /sys/bus/pci/devices/*/vendor 2>/dev/null | grep -c 0x10de
    echo "== toolkit"
    command -v nvidia-container-runtime-hook
    echo "== cdi"
    ls /etc/cdi /var/run/cdi 2>/dev/null
    echo "== query"
    smi --query-gpu="$fields" --format=csv,noheader,nounits
    echo "== exit $?"
    echo "== list"
    smi -L
    echo "== listed $?"
    echo "== cuda"
    smi | grep -Eo 'CUDA[A-Za-z ]* Version *: *[0-9.]+'
}

# Where images, containers and homes are. Whichever disk has less room is told; nothing where the engine does not say.
image_folders() {
    info=$(timeout 5 docker info --format '{{.DockerRootDir}}{{"\n"}}{{.DriverStatus}}' 2>/dev/null)
    root=$(printf '%s\n' "$info" | head -n 1)
    case $root in
    /*) ls -d "$root" "$root/volumes" "$root/containers" 2>/dev/null || echo "$root" ;;
    *) return ;;
    esac
    case $info in # images are containerd's then: the default since Engine 29
    *io.containerd.snapshotter*)
        folder=$(sed -n "s/^root *= *[\"']\(.*\)[\"'].*/\1/p" /etc/containerd/config.toml 2>/dev/null)
        ls -d "${folder:-/var/lib/containerd}" 2>/dev/null
        ;;
    esac
}

# Seconds since the epoch; nothing where its processes are hidden. The oldest: containers may have engines of their own.
engine_started() {
    age=$(ps -C dockerd -o etimes= 2>/dev/null | sort -n | tail -n 1)
    [ -z "$age" ] || echo $(($(date +%s) - age))
}

vm_check() {
    echo "== clock $(date +%s)"
    echo "== engine $(engine_started)"
    echo "== synchronised $(timeout 5 timedatectl show --property NTPSynchronized --value 2>/dev/null)"
    if [ -x /usr/local/sbin/portal-firewall ]; then
        echo "== firewall $(timeout 10 sudo -n /usr/local/sbin/portal-firewall check 2>/dev/null || :)"
    else
        echo "== firewall none"
    fi
    echo "== disk $(image_folders | tr '\n' '\0' | xargs -0 -r df -P -k 2>/dev/null |
        awk 'NR > 1 && (free == "" || $4 < free) {size = $2; free = $4} END {print size, free}')"
    echo "== reserved $(cat /proc/sys/net/ipv4/ip_local_reserved_ports 2>/dev/null)"
}

case "${SSH_ORIGINAL_COMMAND:-portal-gate $*}" in
"portal-gate gpu-probe") gpu_probe ;;
"portal-gate vm-check") vm_check ;;
*)
    echo "portal-gate: refused" >&2
    exit 126
    ;;
esac
exit 0
