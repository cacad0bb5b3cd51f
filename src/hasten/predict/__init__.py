"""Predictions of the speeds and losses of plans before they are measured."""
