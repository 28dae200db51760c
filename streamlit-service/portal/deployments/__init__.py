"""Containers that people ask for: request them, act on them, open their ports."""

from portal.deployments.service import (
    Preview,
    act,
    get,
    latest,
    mine,
    preview,
    propose_name,
    request,
    waiting,
)

__all__ = [
    "Preview",
    "act",
    "get",
    "latest",
    "mine",
    "preview",
    "propose_name",
    "request",
    "waiting",
]
