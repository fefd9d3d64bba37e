"""A second verifier of Tachograph stores, written from the formats and not from the first one.

Nothing here writes, asks the network, or believes what lies beside the evidence. Needs Python 3.11
and the package `cryptography`; every other format is read by the code in this directory.
"""
