"""The identity of a measurement: everything that determines the images or their speed.

It is found by walking through the pipeline instead of a list of what is known to matter: the weights, attributes,
hooks and code of every module, whatever these refer to, the scheduler's configuration, and torch's switches for
the whole process. Anything that cannot be inspected makes the measurement incomparable to all others.
"""
