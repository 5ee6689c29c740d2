//! Keys that signatures are checked with.

use std::fmt;

use jose_jwk::jose_jwa;
use jose_jwk::{Class, Ec, EcCurves, Jwk, Okp, OkpCurves, Operations};
use p521::ecdsa::signature::Verifier;
use ring::{hmac, signature};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};

use super::algorithm::Algorithm;

/// A key, and the ways to sign that it stands for. These come from the key and the file, never from a token: so a
/// public key is never taken for a secret, and no token chooses a weaker way (RFC 8725, 2.1 and 3.1).
#[derive(Clone, PartialEq)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    algorithms: Vec<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
}

impl Key {
    /// One of a set. `allowed` are the ways to sign that the file allows; none: all that are not symmetric.
    ///
    /// # Errors
    /// Why no token can be signed with it: another use, private parts that everybody has seen, too weak, broken.
    pub(super) fn of_set(jwk: &Jwk, allowed: &[Algorithm]) -> Result<Self, String> {
        if jwk.prm.cls.is_some_and(|class| class != Class::Signing) {
            return Err("it is not for signatures (`use`)".into());
        }
        if jwk.prm.ops.as_ref().is_some_and(|ops| !ops.contains(&Operations::Verify)) {
            return Err("it is not for checking signatures (`key_ops`)".into());
        }
        let material = match &jwk.key {
            jose_jwk::Key::Rsa(rsa) => rsa_material(&rsa.n, &rsa.e)?,
            jose_jwk::Key::Ec(ec) => of_ec(ec)?,
            jose_jwk::Key::Okp(okp) => of_okp(okp)?,
            _ => return Err("a secret has no place in a set of keys; name it as `key: {secret: …}`".into()),
        };
        let own = match &jwk.prm.alg {
            None => None,
            Some(jose_jwa::Algorithm::Signing(signing)) => Some(
                Algorithm::of_key(*signing)
                    .ok_or_else(|| format!("`alg` {signing:?} is no way to sign tokens here"))?,
            ),
            Some(_) => return Err("its `alg` is not one of signatures".into()),
        };
        Self::new(jwk.prm.kid.clone(), own, material, allowed)
    }

    /// The public key of a PEM file.
    pub(super) fn of_pem(pem: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| {
            "is no PEM file; it must hold a public key that begins with `-----BEGIN PUBLIC KEY-----`".to_owned()
        })?;
        if pem.label != "PUBLIC KEY" {
            return Err(format!(
                "holds a `{}`; it must hold a `PUBLIC KEY`, as `openssl pkey -in key.pem -pubout` makes it",
                pem.label
            ));
        }
        let (_, info) = SubjectPublicKeyInfo::from_der(&pem.contents).map_err(|_| "holds a broken public key")?;
        Self::new(None, None, of_info(&info)?, allowed)
    }

    /// A secret that the issuer and the door share, as long as the hash at least (RFC 7518, 3.2).
    pub(super) fn of_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let key = Self::new(None, None, Material::Secret(secret.to_vec()), allowed)?;
        let least = key.algorithms.iter().map(|algorithm| hash_length(*algorithm)).max().unwrap_or(0);
        if secret.len() < least {
            let has = secret.len();
            return Err(format!("has {has} bytes and can be guessed from a token; it must have {least} at least"));
        }
        Ok(key)
    }

    fn new(
        id: Option<String>,
        own: Option<Algorithm>,
        material: Material,
        allowed: &[Algorithm],
    ) -> Result<Self, String> {
        let fit = material.algorithms();
        if let Some(own) = own.filter(|own| !fit.contains(own)) {
            return Err(format!("its `alg` {own} is not for {material}"));
        }
        let mut algorithms: Vec<Algorithm> = match own {
            Some(own) => vec![own],
            None if allowed.is_empty() => vec![fit[0]],
            None => fit.to_vec(),
        };
        if !allowed.is_empty() {
            algorithms.retain(|algorithm| allowed.contains(algorithm));
        }
        match algorithms.is_empty() {
            true => Err(format!("none of `algorithms` is for {material}")),
            false => Ok(Self { id, algorithms, material }),
        }
    }

    /// Whether a token may be signed with it in this way.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature is one of this key's over the message. Secrets compare in constant time.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_for(algorithm) {
            return false;
        }
        match &self.material {
            Material::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            Material::P256(point) => verifies(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature),
            Material::P384(point) => verifies(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature),
            Material::Ed25519(point) => verifies(&signature::ED25519, point, message, signature),
            Material::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Material::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::Hs256 => hmac::HMAC_SHA256,
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    _ => hmac::HMAC_SHA512,
                };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
        }
    }
}

fn verifies(way: &'static dyn signature::VerificationAlgorithm, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    signature::UnparsedPublicKey::new(way, key).verify(message, signature).is_ok()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => 32,
    }
}

impl Material {
    /// All ways to sign that such a key could be used for; the first is the one that is meant if nobody says.
    fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa { .. } => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Self::P256(_) => &[Es256],
            Self::P384(_) => &[Es384],
            Self::P521(_) => &[Es512],
            Self::Ed25519(_) => &[EdDsa],
            Self::Secret(_) => &[Hs256, Hs384, Hs512],
        }
    }
}

impl fmt::Display for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "an RSA key",
            Self::P256(_) => "a key on P-256",
            Self::P384(_) => "a key on P-384",
            Self::P521(_) => "a key on P-521",
            Self::Ed25519(_) => "an Ed25519 key",
            Self::Secret(_) => "a secret",
        })
    }
}

fn rsa_material(n: &[u8], e: &[u8]) -> Result<Material, String> {
    let (n, e) = (without_zeros(n), without_zeros(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(format!("it is an RSA key of {bits} bits; 2048 to 8192 are good"));
    }
    if matches!(e, [] | [0..=2]) || e.last().is_some_and(|last| last % 2 == 0) {
        return Err("its public exponent is not an odd number above 2".into());
    }
    if is_roca(n) {
        return Err("its private key can be computed from it (ROCA, CVE-2017-15361)".into());
    }
    Ok(Material::Rsa { n: n.to_vec(), e: e.to_vec() })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

/// Whether a modulus has the fingerprint of keys that some chips made too regularly: modulo each of these primes it is
/// a power of 65537 (Nemec et al., "The Return of Coppersmith's Attack", 2017). A good key has it with 2^-27 or less.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    PRIMES.iter().all(|&prime| {
        let rest = n.iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65537 % prime;
            power == rest
        })
    })
}

fn of_ec(ec: &Ec) -> Result<Material, String> {
    let mut point = vec![4];
    point.extend_from_slice(&ec.x);
    point.extend_from_slice(&ec.y);
    match ec.crv {
        EcCurves::P256 => sized(point, 65, Material::P256),
        EcCurves::P384 => sized(point, 97, Material::P384),
        EcCurves::P521 => p521_material(&point),
        _ => Err("its curve is none that tokens are signed on here".into()),
    }
}

fn of_okp(okp: &Okp) -> Result<Material, String> {
    match okp.crv {
        OkpCurves::Ed25519 => sized(okp.x.to_vec(), 32, Material::Ed25519),
        _ => Err("its curve is none that tokens are signed on here".into()),
    }
}

fn sized(bytes: Vec<u8>, length: usize, material: fn(Vec<u8>) -> Material) -> Result<Material, String> {
    if bytes.len() == length {
        Ok(material(bytes))
    } else {
        Err("its point has another length than its curve's".into())
    }
}

fn p521_material(point: &[u8]) -> Result<Material, String> {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| "its point is not on its curve")?;
    Ok(Material::P521(Box::new(key)))
}

fn of_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Material, String> {
    let bits = info.subject_public_key.data.as_ref();
    match info.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => match info.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(rsa)) => rsa_material(rsa.modulus, rsa.exponent),
            _ => Err("holds a broken RSA key".into()),
        },
        "1.2.840.10045.2.1" => {
            let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            match curve.map(|curve| curve.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => sized(bits.to_vec(), 65, Material::P256),
                Some("1.3.132.0.34") => sized(bits.to_vec(), 97, Material::P384),
                Some("1.3.132.0.35") => p521_material(bits),
                _ => {
                    Err("holds a key on a curve that no tokens are signed on; allowed are P-256, P-384 and P-521"
                        .into())
                }
            }
        }
        "1.3.101.112" => sized(bits.to_vec(), 32, Material::Ed25519),
        _ => Err("holds a key that no tokens are signed with; allowed are RSA, EC and Ed25519".into()),
    }
}
