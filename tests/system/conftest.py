"""Fixtures of the real system; their text is in the harness."""

import pytest
from harness.production_system import production  # noqa: F401
from harness.real_system import (  # noqa: F401
    browser,
    browser_of,
    fleet,
    jane,
    john,
    person,
    pytest_runtest_makereport,
    ray,
    stack,
    vm_a,
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `pytest -n 2 --dist loadgroup`: files stay whole, and one process has production."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = "production" if "production" in fixtures else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
