"""What training needs, whatever trains: trainer, run folders, devices."""
