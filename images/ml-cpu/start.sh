#!/bin/sh
# Starts TensorBoard beside JupyterLab. JupyterLab is the container's main process: when it ends,
# the container ends. TensorBoard is started again should it fail, and runs at low priority so
# that it never delays the notebook.
set -eu

mkdir -p "$TENSORBOARD_LOGDIR" "$HOME/work"

serve_tensorboard() {
    while :; do
        nice -n 10 tensorboard --logdir "$TENSORBOARD_LOGDIR" --host 0.0.0.0 --port 6006 \
            --reload_interval 5 || echo "TensorBoard ended; starting it again in 5 s" >&2
        sleep 5
    done
}
serve_tensorboard &

exec jupyter lab --config=/etc/jupyter/jupyter_server_config.py
