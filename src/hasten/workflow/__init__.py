"""What stands between a task and its answer: opening the bench, putting the answer together, handing it over."""
