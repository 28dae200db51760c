#!/bin/sh
# The only command that the portal's SSH key may run on a user VM (authorized_keys: command="…/portal-gate").
# It looks at the GPUs and changes nothing. Installed on each VM as /usr/local/bin/portal-gate.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

case "${SSH_ORIGINAL_COMMAND:-portal-gate $*}" in
"portal-gate gpu-probe") ;;
*)
    echo "portal-gate: refused" >&2
    exit 126
    ;;
esac

fields=index,uuid,name,memory.total,memory.used,utilization.gpu,temperature.gpu,driver_version,mig.mode.current
smi() { timeout 10 nvidia-smi "$@" 2>&1; }

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
echo "== cuda"
smi | grep -Eo 'CUDA[A-Za-z ]* Version *: *[0-9.]+'
exit 0
