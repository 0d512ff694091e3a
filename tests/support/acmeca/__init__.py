"""acmeca: a small ACME server (RFC 8555, RFC 9773, profiles) for what Pebble 2.4 lacks, with a switch for every fault.

It validates DNS-01 and CAA over real DNS, signs real chains with ECDSA, and keeps everything in memory. Pebble stays the
second opinion on the plain protocol. `AcmeCa` (acmeca.client) is how tests run it; `python3 -m acmeca` is the program.
"""
