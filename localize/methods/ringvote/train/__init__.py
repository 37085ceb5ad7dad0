"""Training of the ringvote network: targets, losses, loop."""
