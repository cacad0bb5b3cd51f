"""Requests in words: sentence to task (``parse``) and task to sentence (``render``), in English and Chinese."""
