"""Training that all networks share: the trainer, the run folders, the devices."""
