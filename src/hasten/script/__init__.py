"""The generated program: written from a skeleton, verified in a fresh process."""
