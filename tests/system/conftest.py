"""Fixtures of the real system; their text is in the harness."""

from harness.production_system import production  # noqa: F401
from harness.real_system import (  # noqa: F401
    browser,
    browser_of,
    fleet,
    gpu_image,
    jane,
    john,
    machines,
    person,
    pytest_runtest_makereport,
    ray,
    stack,
    vm_a,
)
