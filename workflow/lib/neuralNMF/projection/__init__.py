"""The usage of any cells with the programs of a model held, at its minimum: docs/method.md."""
