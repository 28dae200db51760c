#!/bin/sh
# The last build step of every image, as root: the user, the notebooks' environment, Jupyter's settings, hardening.
# The same file in every image's folder (images/shared); a test holds the copies equal.
set -eu
here=$(dirname "$0")

# A fixed numeric user: the portal runs containers with no capabilities, so nothing can chown later.
# Ubuntu 24.04 brings a user 1000 of its own.
if getent passwd 1000 >/dev/null; then userdel --remove "$(getent passwd 1000 | cut -d: -f1)" 2>/dev/null || true; fi
getent group 1000 >/dev/null || groupadd --gid 1000 scientist
useradd --uid 1000 --gid 1000 --create-home --home-dir /home/scientist --shell /bin/bash scientist
mkdir -p /home/scientist/work /home/scientist/tensorboard
chown -R 1000:1000 /home/scientist

# What notebooks see of the image, in this order: what their kernel itself needs, where the base's own packages are too
# old for it (NVIDIA's frameworks); the packages of the base's Python; those of /opt/venv.
python=${IMAGE_PYTHON:-/opt/venv/bin/python}
[ -d /opt/kernel ] || "$python" -m venv --without-pip --symlinks /opt/kernel
site=$(/opt/kernel/bin/python -c 'import site; print(site.getsitepackages()[0])')
rm -f "$site/_image.pth"
for one in /opt/kernel/bin/python "$python" /opt/venv/bin/python; do "$one" -c 'import site; print("\n".join(site.getsitepackages()))'; done |
    awk '!seen[$0]++' > "$site/_image.pth"

# The environment in a home folder, ready to be copied at the first start. Without pip of its own, which would take
# seconds: the image's is seen through the .pth file. It sees the user site, which is its own folder (PYTHONUSERBASE),
# so that `pip install --user` is found, too.
/opt/kernel/bin/python -m venv --without-pip --symlinks --system-site-packages "$NOTEBOOK_ENV"
mv "$NOTEBOOK_ENV" /opt/notebook-env
version=$(/opt/kernel/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
echo "$version" > /opt/notebook-env/version
cp "$site/_image.pth" "/opt/notebook-env/lib/python$version/site-packages/"
# pip under every name that people type; the image's own would try to write to the image.
for name in pip pip3 "pip$version"; do
    # shellcheck disable=SC2016  # for that script's shell
    printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n' > "/opt/notebook-env/bin/$name"
    chmod 0755 "/opt/notebook-env/bin/$name"
done
chown -R 1000:1000 /opt/notebook-env
sed "s|@NOTEBOOK_ENV@|$NOTEBOOK_ENV|" "$here/profile.sh" > /etc/profile.d/notebook.sh

install -D -m 0644 "$here/kernel.json" /opt/venv/share/jupyter/kernels/python3/kernel.json
install -D -m 0644 "$here/kernel-image.json" /opt/venv/share/jupyter/kernels/python3-image/kernel.json
install -D -m 0644 "$here/overrides.json" /opt/venv/share/jupyter/lab/settings/overrides.json
# Language servers, which are not there, would be asked for at every opening: 404.
install -D -m 0644 "$here/page_config.json" /opt/venv/share/jupyter/lab/settings/page_config.json
install -D -m 0644 "$here/jupyter_server_config.py" /etc/jupyter/jupyter_server_config.py
install -m 0755 "$here/start.sh" /usr/local/bin/start-notebook
install -m 0755 "$here/serve-ssh.sh" /usr/local/bin/serve-ssh
install -m 0644 "$here/serve-jupyter.py" /usr/local/bin/serve-jupyter
install -m 0644 "$here/on-demand.py" /usr/local/bin/tensorboard-on-demand
# shellcheck disable=SC2016  # for that script's shell
printf '#!/bin/sh\nexec "$NOTEBOOK_ENV/bin/python" "$@"\n' > /usr/local/bin/notebook-python
chmod 0755 /usr/local/bin/notebook-python

# Nothing here may raise privileges: the portal forbids it at run time, this takes the means away too.
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
# A notebook must start with what its kernel finds first.
/opt/kernel/bin/python -c 'import ipykernel.kernelapp, pip'
