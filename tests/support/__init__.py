"""What several tests share: small pipelines, scorers and landscapes, batches, and requests by the thousand."""
