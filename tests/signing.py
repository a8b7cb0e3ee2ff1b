"""Pictures with content credentials, signed by certificates that are made on the spot."""

import io
import json
from datetime import UTC, datetime, timedelta
from functools import cache

from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Context, Settings, Signer
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SIGNER = "Signers of Pictures"
SOFTWARE = "a painting machine"
CREATED = {
    "action": "c2pa.created",
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}


def sign(data: bytes, mime: str = "image/png") -> bytes:
    """Return a picture with content credentials of SIGNER, made by SOFTWARE."""
    with _builder_of_manifest() as builder:
        return _signed(builder, data, mime)


def sign_from_afar(data: bytes, address: str) -> bytes:
    """Return a PNG whose content credentials are said to be at an address."""
    with _builder_of_manifest() as builder:
        builder.set_no_embed()
        builder.set_remote_url(address)
        return _signed(builder, data, "image/png")


def _builder_of_manifest() -> Builder:
    manifest = {
        "claim_generator_info": [{"name": SOFTWARE, "version": "1"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [CREATED]}}],
    }
    # The library would look at its own work with a list of signers that it trusts.
    settings = Settings.from_dict({"verify": {"verify_after_sign": False}})
    return Builder(json.dumps(manifest), context=Context(settings=settings))


def _signed(builder: Builder, data: bytes, mime: str) -> bytes:
    certificates, key = _certificates()
    info = C2paSignerInfo(C2paSigningAlg.ES256, certificates, key, None)
    out = io.BytesIO()
    builder.sign(Signer.from_info(info), mime, io.BytesIO(data), out)
    return out.getvalue()


@cache
def _certificates() -> tuple[bytes, bytes]:
    """Return a chain of two certificates and the key of the first, all in PEM."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name("A root"), _name(SIGNER)
    root = (
        _builder(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root_key, SHA256())
    )
    leaf = (
        _builder(name, root_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )
    chain = leaf.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM)
    return chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, common),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )
