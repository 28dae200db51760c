"""Whether an order is sensible in itself, whoever places it and whatever is free."""

from __future__ import annotations

import math
import re

from portal.core.errors import Invalid
from portal.core.models import Order
from portal.core.resources import ORDERED

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def check_order(order: Order) -> None:
    """Raise Invalid unless the order is sensible in itself."""
    if not NAME.fullmatch(order.name):
        raise Invalid(
            "bad_name",
            "The name must be 1 to 40 lowercase letters, digits and hyphens, "
            "and begin and end with a letter or digit.",
            "For example: training-1.",
        )
    for amount in ORDERED:
        asked = amount.of(order.resources)
        if not math.isfinite(asked) or asked < amount.minimum:
            raise Invalid(
                f"bad_{amount.name}",
                f"{amount.noun} must be at least {amount.minimum:g}{amount.unit}.",
                f"Ask for {amount.minimum:g} or more.",
            )


def propose_name(image: str, taken: set[str]) -> str:
    """The first free name among image, image-2, image-3 and so on."""
    number = 1
    while (name := image if number == 1 else f"{image}-{number}") in taken:
        number += 1
    return name
