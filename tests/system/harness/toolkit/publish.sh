#!/bin/sh
# /repository, laid out as https://nvidia.github.io/libnvidia-container is.
set -eu
folder=/repository/stable/deb/$(dpkg --print-architecture)
mkdir -p "$folder"
chmod 0755 /package/usr/bin/*
dpkg-deb --root-owner-group --build /package "$folder"
cd "$folder"
apt-ftparchive packages . > Packages
apt-ftparchive release . > /tmp/Release
mv /tmp/Release Release
gpg --batch --passphrase '' --quick-generate-key 'Stand-in repository' ed25519 sign never
gpg --batch --clearsign --output InRelease Release
gpg --batch --armor --export > /repository/gpgkey
