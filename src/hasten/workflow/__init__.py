"""The way from a task to its answer: opening the bench, searching, composing the answer and delivering it."""
