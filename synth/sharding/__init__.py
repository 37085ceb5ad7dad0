"""Generation of sharded datasets: Parquet files that hold rows and pictures, by worker processes.

A shard is made in two steps. :mod:`synth.sharding.rendering` decodes the photos and writes the
rows without splits. When the photos of all shards are known, near-duplicates are grouped, and
:mod:`synth.sharding.finishing` writes the rows that are kept with their splits. Each photo is
decoded once. Both steps are plain functions of one shard, so that any engine may run them.
"""
