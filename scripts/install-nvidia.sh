#!/usr/bin/env bash
# Lets containers on this machine use its NVIDIA GPUs: checks the driver, installs the Container Toolkit, configures
# Docker, writes the CDI specification, and verifies it in a container. Run it as root; it is safe to run again.
#
#   install-nvidia.sh [--dry-run]
#
# It does not install the driver: that belongs to the kernel's administrator, and it says how. Settings, from the
# environment: PORTAL_NVIDIA_REPOSITORY (a mirror of https://nvidia.github.io/libnvidia-container),
# PORTAL_MIN_DRIVER (525.60.13, CUDA 12's). Without a GPU it says so and exits with 0.
# Exit codes: 0 done or no GPU, 2 usage, 3 distribution, 4 rights, 7 a step.
# Source: NVIDIA's installation guides of driver and Container Toolkit.
set -euo pipefail

bundle=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=vm/steps.sh
. "$bundle/vm/steps.sh"
# shellcheck source=vm/docker_settings.sh
. "$bundle/vm/docker_settings.sh"

repository=${PORTAL_NVIDIA_REPOSITORY:-https://nvidia.github.io/libnvidia-container}
minimum=${PORTAL_MIN_DRIVER:-525.60.13}
readonly CDI=/etc/cdi/nvidia.yaml CDI_DRIVER=/etc/cdi/.driver-version
readonly CDI_UNIT=/etc/systemd/system/container-portal-cdi.service

case "${1:-}" in
'') ;;
--dry-run) dry_run=1 ;;
*) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

# --- the driver --------------------------------------------------------------------------------

secure_boot() { # the last byte of the variable is 1 where it is on
    local file
    file=$(find "${EFI_VARIABLES:-/sys/firmware/efi/efivars}" -name 'SecureBoot-*' 2>/dev/null | head -1)
    [ -n "$file" ] && [ "$(tail -c 1 "$file" | od -An -tu1 | tr -d ' ')" = 1 ]
}

check_driver() {
    if [ -d "${KERNEL_MODULES:-/sys/module}/nouveau" ]; then
        die step "The open driver nouveau holds the GPU; NVIDIA's cannot load beside it." \
            "echo 'blacklist nouveau' > /etc/modprobe.d/nouveau.conf; then rebuild the initramfs, and reboot."
    fi
    if ! have_commands nvidia-smi; then
        die step "There is a GPU here and no NVIDIA driver." "$(how_to_install_driver)"
    fi
    local said
    if ! said=$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1); then
        secure_boot && die step "The driver's kernel module is not loaded, and secure boot is on: it must be signed." \
            "Enrol its key (mokutil --import) or use your distribution's signed module; mokutil --sb-state shows it."
        die step "The driver does not answer: $(head -1 <<<"$said")" "Reboot if it was updated; else reinstall it."
    fi
    driver=$(head -1 <<<"$said")
    [ "$(printf '%s\n%s\n' "$minimum" "$driver" | sort -V | head -1)" = "$minimum" ] ||
        die step "The driver $driver is older than $minimum, which the images need." "Update it, and reboot."
    say ok "driver $driver, $(wc -l <<<"$said") GPUs"
}

how_to_install_driver() {
    case "$distribution_id" in
    debian) echo "Enable non-free and non-free-firmware, apt-get install nvidia-driver, and reboot." ;;
    ubuntu) echo "ubuntu-drivers install --gpgpu, and reboot." ;;
    *) echo "Install nvidia-driver from NVIDIA's CUDA repository for your release, and reboot." ;;
    esac
}

has_tools() { have_commands jq curl; }
make_tools() { install_packages jq curl ca-certificates; }

# --- the Container Toolkit -------------------------------------------------------------------------

is_toolkit() { have_commands nvidia-ctk nvidia-container-runtime; }
make_toolkit() {
    case "$family" in
    debian)
        curl -fsSL --max-time 60 "$repository/gpgkey" | write /etc/apt/keyrings/nvidia-container-toolkit.asc 0644 || return
        echo "deb [signed-by=/etc/apt/keyrings/nvidia-container-toolkit.asc] $repository/stable/deb/$(dpkg --print-architecture) /" |
            write /etc/apt/sources.list.d/nvidia-container-toolkit.list 0644
        lists_fresh=''
        ;;
    rhel)
        curl -fsSL --max-time 60 "$repository/stable/rpm/nvidia-container-toolkit.repo" |
            sed "s#https://nvidia.github.io/libnvidia-container#$repository#" | # a mirror's copy names the original
            write /etc/yum.repos.d/nvidia-container-toolkit.repo 0644 || return
        ;;
    esac
    install_packages nvidia-container-toolkit
}

is_registered() { jq -e '.runtimes.nvidia' /etc/docker/daemon.json >/dev/null 2>&1; }
register() { nvidia-ctk runtime configure --runtime=docker >/dev/null; }
make_registered() { change_daemon_json register; }

# The hook is looked for when dockerd starts: it must have been there before.
is_known_to_docker() { docker info --format '{{json .Runtimes}}' 2>/dev/null | jq -e '.nvidia' >/dev/null; }

wanted_cdi_unit() {
    cat <<UNIT
[Unit]
Description=Container Portal: the GPUs, as the driver of this boot sees them
After=local-fs.target systemd-modules-load.service
Before=docker.service
ConditionPathExists=/usr/bin/nvidia-ctk

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/nvidia-ctk cdi generate --device-name-strategy=uuid --output=$CDI
ExecStartPost=/bin/sh -c 'nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1 > $CDI_DRIVER'

[Install]
WantedBy=multi-user.target
UNIT
}
# After an update of the driver the old specification names files that are gone.
is_cdi() { [ -s "$CDI" ] && wanted_cdi_unit | same "$CDI_UNIT" && [ "$(cat "$CDI_DRIVER" 2>/dev/null)" = "$driver" ]; }
make_cdi() {
    mkdir -p /etc/cdi
    wanted_cdi_unit | write "$CDI_UNIT" 0644
    systemctl daemon-reload
    systemctl enable --quiet container-portal-cdi.service && systemctl restart container-portal-cdi.service
}

# --- the verification ---------------------------------------------------------------------------------------

# A shell and the C library of this machine, as an image: nothing has to be downloaded to try a GPU.
check_in_a_container() {
    local image=container-portal-gpu-check files said
    files=$({ ldd /bin/sh "$(command -v nvidia-smi)" 2>/dev/null || true; } | awk '$2 == "=>" {print $3} $1 ~ /^\// && NF == 2 {print $1}' | sort -u)
    # shellcheck disable=SC2086  # a list of files
    tar -chf - /bin/sh $files 2>/dev/null | docker import - $image >/dev/null
    said=$(timeout 120 docker run --rm --network none --gpus all -e NVIDIA_DRIVER_CAPABILITIES=utility $image nvidia-smi -L 2>&1) ||
        { docker rmi -f $image >/dev/null 2>&1; die step "A container gets no GPU: $(tail -1 <<<"$said")" "journalctl -u docker; nvidia-container-cli info"; }
    docker rmi -f $image >/dev/null 2>&1
    say ok "a container sees $(grep -c '^GPU' <<<"$said") GPUs"
}

distribution
if ! with_gpu; then
    say ok "no NVIDIA GPU here: nothing to install"
    exit 0
fi
[ "$(id -u)" -eq 0 ] || die rights "This needs root." "Run it with sudo."
driver=''
check_driver
step "tools: jq, curl" has_tools make_tools
step "the NVIDIA Container Toolkit is installed" is_toolkit make_toolkit
step "Docker's settings name the NVIDIA runtime" is_registered make_registered
step "Docker has loaded the NVIDIA runtime" is_known_to_docker restart_docker
step "the CDI specification is for driver $driver" is_cdi make_cdi
[ -n "$dry_run" ] || check_in_a_container
if [ -z "${PORTAL_PART_OF_SETUP:-}" ]; then
    closing
elif [ $((changed + pending)) -gt 0 ]; then
    exit 10 # setup-vm.sh has the last word
fi
