#!/bin/sh
# Starts JupyterLab, with TensorBoard and, if asked for, SSH beside it. JupyterLab is the container's main process:
# when it ends, the container ends. The others are started again should they fail; TensorBoard runs at low priority
# so that it never delays the notebook.
# The same file in every image's folder (images/shared); a test holds the copies equal.
set -eu

# A full disk must not keep somebody from tidying up: without what follows the server starts all the same.
mkdir -p "$TENSORBOARD_LOGDIR" "$HOME/work" || echo "The home folder cannot be written: is the disk full?" >&2

# The notebooks' environment, in the home folder: the image's packages, with what the user installs on top. One for
# each image, so that one's additions do not break another's. Without pip of its own, which would take seconds:
# the image's is seen through the .pth file.
ensure_environment() {
    site=$NOTEBOOK_ENV/lib/python$(/opt/kernel/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')/site-packages
    if ! "$NOTEBOOK_ENV/bin/python" -c '' 2>/dev/null || [ ! -d "$site" ]; then
        new=$NOTEBOOK_ENV.new.$(hostname)
        rm -rf "$new"
        /opt/kernel/bin/python -m venv --without-pip --symlinks "$new"
        # A broken one, or one of another Python, is put aside, not deleted: its packages were somebody's work.
        [ ! -e "$NOTEBOOK_ENV" ] || mv -T "$NOTEBOOK_ENV" "$NOTEBOOK_ENV.old.$(date +%Y%m%d-%H%M%S)"
        mv -T "$new" "$NOTEBOOK_ENV" 2>/dev/null || rm -rf "$new" # another container of this user was faster
    fi
    cp /opt/kernel/lib/python3*/site-packages/_image.pth "$site/_image.pth"
    # Under every name that people type; the image's own would try to write to the image.
    for name in pip pip3 "pip${site#"$NOTEBOOK_ENV/lib/python"}"; do
        name=${name%%/*}
        printf '#!/bin/sh\nexec "%s/bin/python" -m pip "$@"\n' "$NOTEBOOK_ENV" > "$NOTEBOOK_ENV/bin/$name"
        chmod 0755 "$NOTEBOOK_ENV/bin/$name"
    done
}
ensure_environment || true
if ! "$NOTEBOOK_ENV/bin/python" -c 'import importlib.util as u; assert u.find_spec("ipykernel")' 2>/dev/null; then
    echo "$NOTEBOOK_ENV cannot be used; notebooks run with the image's packages only" >&2
    export NOTEBOOK_ENV=/opt/kernel
fi

keep_running() { # name, command …
    name=$1
    shift
    while :; do
        env -u PORTAL_TOKEN "$@" || true
        echo "$name ended; starting it again in 5 s" >&2
        sleep 5
    done
}
keep_running TensorBoard nice -n 10 /opt/venv/bin/tensorboard --logdir "$TENSORBOARD_LOGDIR" --host 0.0.0.0 \
    --port 6006 --reload_interval 5 &
[ -z "${PORTAL_SSH_KEYS:-}" ] || keep_running sshd /usr/local/bin/serve-ssh &

exec /opt/venv/bin/jupyter lab --config=/etc/jupyter/jupyter_server_config.py
