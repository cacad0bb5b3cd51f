"""``hasten.testing.generating`` under the name that the tests have for it."""

from hasten.testing.generating import *  # noqa: F403
