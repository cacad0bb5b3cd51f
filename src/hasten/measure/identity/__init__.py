"""The identity of a measurement: all that makes the pictures or their speed.

It is found by walking through the pipeline, not from a list of what is known to matter: every module's weights,
attributes, hooks and code, whatever these refer to, the scheduler's configuration, and what torch was told for the
whole process. What cannot be looked into makes the measurement its own.
"""
