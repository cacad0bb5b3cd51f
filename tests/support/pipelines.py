"""``hasten.testing.pipelines`` under the name that the tests have for it."""

from hasten.testing.pipelines import *  # noqa: F403
