"""The encoder and its head, and the device it runs on.

`checkpoints` reads what a model is from its `config.json`, without torch; `encoder` loads it; `device` chooses
device and precision.
"""
