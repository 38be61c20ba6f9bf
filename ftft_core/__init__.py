"""FTFT: find the examples worth training on, and fine-tune a large model on them once."""
