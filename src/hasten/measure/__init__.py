"""Takes times and scores: what plans are measured by, and the identity that makes measurements comparable."""
