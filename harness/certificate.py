"""Certificates for the servers of one run, which live no longer than it does and touch no file."""

from typing import NamedTuple


class Certificate(NamedTuple):
    """What the two ends of TLS need, each as PEM text.

    Attributes:
        authority: The certificate of the authority that the generator trusts.
        server: The server's private key (ECDSA, P-256) and its certificate.
    """

    authority: str
    server: str


def make_certificate(host: str) -> Certificate:
    """Return a new certificate for a server at this IP address, from an authority that is new too."""
    import trustme  # heavy, and few runs need it

    authority = trustme.CA()
    server = authority.issue_cert(host)
    return Certificate(authority.cert_pem.bytes().decode(), server.private_key_and_cert_chain_pem.bytes().decode())
