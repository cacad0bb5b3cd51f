"""What is known of plans before they are measured: how fast they are, and what they lose."""
