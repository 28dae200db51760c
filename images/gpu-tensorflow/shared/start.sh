#!/bin/sh
# Starts JupyterLab, with TensorBoard's port and, if asked for, SSH beside it. JupyterLab is the container's main process:
# when it ends, the container ends. The others are started again should they fail.
# The same file in every image's folder (images/shared); a test holds the copies equal.
set -eu

# A disk that lasts as long as the container; what a start before this one left there is nobody's.
find /tmp -mindepth 1 -delete 2>/dev/null || true

# Whatever is wrong with a home folder, the server starts: it is what one tidies up with.
trouble=
mkdir -p "$HOME/work" "$TENSORBOARD_LOGDIR" 2>/dev/null ||
    trouble="$HOME/work or $TENSORBOARD_LOGDIR cannot be made: is one of them a link that leads nowhere?"
if ! (echo test > "$HOME/.portal-can-write" && rm "$HOME/.portal-can-write") 2>/dev/null; then
    trouble="nothing can be written to it: is the disk full, or the folder somebody else's?"
    # Settings and history of this start are lost with it.
    export JUPYTER_CONFIG_DIR=/tmp/jupyter-config JUPYTER_DATA_DIR=/tmp/jupyter-data IPYTHONDIR=/tmp/ipython XDG_CACHE_HOME=/tmp/cache
fi
# Jupyter and IPython end when their own folder is a link to nowhere, or no folder.
for own in jupyter:JUPYTER_CONFIG_DIR ipython:IPYTHONDIR; do
    folder=$HOME/.${own%%:*}
    if { [ -e "$folder" ] || [ -L "$folder" ]; } && ! [ -d "$folder" ]; then
        trouble="$folder is no folder, or a link that leads nowhere; settings in /tmp are used."
        export "${own#*:}=/tmp/${own%%:*}"
        [ "$folder" != "$HOME/.jupyter" ] || mkdir -p /tmp/jupyter
    fi
done
[ -z "$trouble" ] || echo "The home folder has a problem: $trouble" >&2

# The notebooks' environment, in the home folder: the image's packages, with what the user installs on top. One for
# each image, so that one's additions do not break another's.
version=$(cat /opt/notebook-env/version)
site=$NOTEBOOK_ENV/lib/python$version/site-packages
make_environment() {
    new=$NOTEBOOK_ENV.new.$(hostname)
    rm -rf "$new"
    cp -R /opt/notebook-env "$new" || { rm -rf "$new"; return 1; } # a full disk
    # A broken one, or one of another Python, is put aside, not deleted: its packages were somebody's work.
    [ ! -e "$NOTEBOOK_ENV" ] || mv -T "$NOTEBOOK_ENV" "$NOTEBOOK_ENV.old.$(date +%Y%m%d-%H%M%S)"
    mv -T "$new" "$NOTEBOOK_ENV" 2>/dev/null || rm -rf "$new" # another container of this user was faster
}
renew_environment() { # what of it is the image's
    cp "/opt/notebook-env/lib/python$version/site-packages/_image.pth" "$site/"
    cp /opt/notebook-env/bin/pip* "$NOTEBOOK_ENV/bin/"
    # One that an older image made, without the user site.
    grep -q '^include-system-site-packages = true' "$NOTEBOOK_ENV/pyvenv.cfg" ||
        sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "$NOTEBOOK_ENV/pyvenv.cfg"
}
usable() { "$NOTEBOOK_ENV/bin/python" -c 'import importlib.util as u; assert u.find_spec("ipykernel")'; }
{ { [ -x "$NOTEBOOK_ENV/bin/python" ] && [ -d "$site" ]; } || make_environment; } 2>/dev/null || true
renew_environment 2>/dev/null || true
if ! usable 2>/dev/null; then
    { make_environment && renew_environment; } 2>/dev/null || true
    if ! usable 2>/dev/null; then
        echo "$NOTEBOOK_ENV cannot be used; notebooks run with the image's packages only" >&2
        export NOTEBOOK_ENV=/opt/kernel
    fi
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
keep_running TensorBoard /opt/venv/bin/python -I /usr/local/bin/tensorboard-on-demand &
[ -z "${PORTAL_SSH_KEYS:-}" ] || keep_running sshd /usr/local/bin/serve-ssh &

exec /opt/venv/bin/jupyter lab --config=/etc/jupyter/jupyter_server_config.py
