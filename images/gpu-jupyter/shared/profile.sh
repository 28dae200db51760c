# shellcheck shell=sh
# A login shell's /etc/profile sets PATH anew: the notebooks' environment comes first again.
# The same file in every image's folder (images/shared); a test holds the copies equal.
PATH=${NOTEBOOK_ENV:=@NOTEBOOK_ENV@}/bin:/opt/kernel/bin:/opt/venv/bin:$PATH
export NOTEBOOK_ENV PATH
