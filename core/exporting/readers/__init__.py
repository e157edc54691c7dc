"""Programs that read a bundle with a trainer's own code: each is run in the bundle's folder, by an interpreter that has
the trainer, and imports nothing of this project.

Arguments: the base model's folder, the file to write. Written is a JSON list: a row's number in the bundle from 0, its
`input_ids`, and `trained`, 0 or 1 a token.
"""
