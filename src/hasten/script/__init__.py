"""The generated program: it is written from a skeleton and verified in a fresh process."""
