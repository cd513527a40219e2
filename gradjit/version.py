"""The version, which is also in the header of emitted files."""

VERSION = "0.1.0"
