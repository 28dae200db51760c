#!/usr/bin/env bash
# Copy what all images share into each image's folder, so that each builds by itself: cd images/ml-cpu && docker build .
set -euo pipefail
cd "$(dirname "$0")/../../images"
for folder in */; do
    [ "$folder" != shared/ ] && [ -f "$folder/image.yaml" ] || continue
    rm -rf "${folder}shared"
    cp -r shared "${folder}shared"
done
