"""Reads and writes the files of the original search: ``search_params.json``, ``speedup_bounds.json``,
``tasks.json``.

Import from the modules: ``keys``, ``search_params``, ``bounds``, ``tasks_file``. None of them needs torch.
"""
