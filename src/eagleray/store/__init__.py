"""What was written down: runs, events, step figures and checkpoints, as objects on any storage."""
