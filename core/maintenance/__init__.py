"""What keeps losses safe: shards kept until verified, check, backup."""
