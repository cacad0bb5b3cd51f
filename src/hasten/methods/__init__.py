"""The methods, found by their files."""

from __future__ import annotations

from hasten.methods.base import Method
from hasten.registry import Registry

METHODS: Registry[Method] = Registry("method", "hasten.methods", "METHOD")
