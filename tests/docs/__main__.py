"""`python -m tests.docs`: writes the parts of the documents that are made from the code."""

from __future__ import annotations

from tests.docs.made import write_all

if __name__ == "__main__":
    write_all()
