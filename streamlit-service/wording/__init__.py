"""How things are worded, for pages and what feeds them. Pure, so that tests hold the words."""

from wording import gpus
from wording.containers import (
    ESTIMATE_AFTER_S,
    STATE_WORDS,
    STOP_WORDS,
    download,
    layer,
    queued,
    trouble,
    why,
)
from wording.images import attention, ready, verdict
from wording.markdown import literal
from wording.orders import amounts, free_now, too_large, would_start, would_wait
from wording.past import past
from wording.ssh import pkcs11_module, ssh_config
from wording.units import absolute, added, ago, amount, hours, left, ordinal, plural, size, zone
from wording.vms import with_command

__all__ = [
    "ESTIMATE_AFTER_S",
    "STATE_WORDS",
    "STOP_WORDS",
    "absolute",
    "added",
    "ago",
    "amount",
    "amounts",
    "attention",
    "download",
    "free_now",
    "gpus",
    "hours",
    "layer",
    "left",
    "literal",
    "ordinal",
    "past",
    "pkcs11_module",
    "plural",
    "queued",
    "ready",
    "size",
    "ssh_config",
    "too_large",
    "trouble",
    "verdict",
    "why",
    "with_command",
    "would_start",
    "would_wait",
    "zone",
]
