"""Turns a sentence into a task (``parse``) and a task into a sentence (``render``), in English and Chinese."""
