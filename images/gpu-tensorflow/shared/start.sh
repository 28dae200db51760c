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
    trouble="$HOME/work or $TENSORBOARD_LOGDIR cannot be made: is one of them a file, or a link that leads nowhere?"
if ! (echo test > "$HOME/.portal-can-write" && rm "$HOME/.portal-can-write") 2>/dev/null; then
    trouble="nothing can be written to it: is the disk full, or does somebody else own it?"
    # Settings and history of this start are lost with it.
    export JUPYTER_CONFIG_DIR=/tmp/jupyter-config JUPYTER_DATA_DIR=/tmp/jupyter-data IPYTHONDIR=/tmp/ipython XDG_CACHE_HOME=/tmp/cache
fi
tell() { echo "The home folder has a problem: $1" >&2; }
[ -z "$trouble" ] || tell "$trouble"
# Jupyter and IPython end, or start no kernel, when a folder of theirs is no folder, leads nowhere or is closed to them.
there() { [ -e "$1" ] || [ -L "$1" ]; }
unusable() { there "$1" && ! { [ -d "$1" ] && [ -r "$1" ] && [ -w "$1" ] && [ -x "$1" ]; }; }
instead_of() { # a folder, the variable that names another, the other
    unusable "$1" || return 0
    tell "$1 is not a readable and writable folder; its contents are ignored until it is."
    mkdir -p "$3" && export "$2=$3"
}
for folder in .jupyter .jupyter/lab .jupyter/lab/user-settings .jupyter/lab/workspaces; do
    instead_of "$HOME/$folder" JUPYTER_CONFIG_DIR /tmp/jupyter
done
for folder in .ipython .ipython/profile_default; do instead_of "$HOME/$folder" IPYTHONDIR /tmp/ipython; done
for folder in .local .local/share .local/share/jupyter; do
    instead_of "$HOME/$folder" JUPYTER_DATA_DIR /tmp/jupyter-data
done

# The notebooks' environment, in the home folder: the image's packages, with what the user installs on top. One for
# each image, so that one's additions do not break another's; and for each Python, which may run beside each other.
version=$(cat /opt/notebook-env/version)
if [ ! -d "$NOTEBOOK_ENV/lib/python$version" ] && ls -d "$NOTEBOOK_ENV"/lib/python3* > /dev/null 2>&1; then
    export NOTEBOOK_ENV="$NOTEBOOK_ENV-python$version"
    export PYTHONUSERBASE="$NOTEBOOK_ENV" PATH="$NOTEBOOK_ENV/bin:$PATH"
fi
site=$NOTEBOOK_ENV/lib/python$version/site-packages
make_environment() {
    new=$NOTEBOOK_ENV.new.$(hostname)
    rm -rf "$new"
    cp -R /opt/notebook-env "$new" || { rm -rf "$new"; return 1; } # a full disk
    # A broken one is put aside, not deleted: its packages were somebody's work.
    ! there "$NOTEBOOK_ENV" || mv -T "$NOTEBOOK_ENV" "$NOTEBOOK_ENV.old.$(date +%Y%m%d-%H%M%S)"
    mv -T "$new" "$NOTEBOOK_ENV" 2>/dev/null || rm -rf "$new" # another container of this user was faster
}
renew() { # a file of the image, its place: whole or, on a full disk, as it was
    cmp -s "$1" "$2" || { cp "$1" "$2.new.$(hostname)" && mv "$2.new.$(hostname)" "$2"; } || rm -f "$2.new.$(hostname)"
}
renew_environment() { # what of it is the image's
    renew "/opt/notebook-env/lib/python$version/site-packages/_image.pth" "$site/_image.pth"
    for pip in /opt/notebook-env/bin/pip*; do renew "$pip" "$NOTEBOOK_ENV/bin/${pip##*/}"; done
    # One that an older image made, without the user site.
    grep -q '^include-system-site-packages = true' "$NOTEBOOK_ENV/pyvenv.cfg" ||
        sed -i 's/^include-system-site-packages = .*/include-system-site-packages = true/' "$NOTEBOOK_ENV/pyvenv.cfg"
}
# Whether notebooks can run with it: 0, or 124 where it says nothing for long (a .pth file that waits, a slow disk).
usable() { timeout -k 5 30 "$NOTEBOOK_ENV/bin/python" -c 'import importlib.util as u; assert u.find_spec("ipykernel")'; }
{ { [ -x "$NOTEBOOK_ENV/bin/python" ] && [ -d "$site" ]; } || make_environment; } 2>/dev/null || true
renew_environment 2>/dev/null || true
found=0
usable 2>/dev/null || found=$?
if [ "$found" -ne 0 ] && [ "$found" -ne 124 ]; then
    { make_environment && renew_environment; } 2>/dev/null || true
    found=0
    usable 2>/dev/null || found=$?
fi
if [ "$found" -ne 0 ]; then
    tell "$NOTEBOOK_ENV cannot be used; notebooks run with the image's packages only."
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
keep_running TensorBoard /opt/venv/bin/python -I /usr/local/bin/tensorboard-on-demand &
[ -z "${PORTAL_SSH_KEYS:-}" ] || keep_running sshd /usr/local/bin/serve-ssh &

exec /opt/venv/bin/python -I /usr/local/bin/serve-jupyter --config=/etc/jupyter/jupyter_server_config.py
