//! AWS-LC by its crate aws-lc-rs. X-Wing is put together from its ML-KEM-768, X25519 and SHA3-256, as the draft
//! (draft-connolly-cfrg-xwing-kem, section 5) says; its private key is kept expanded.

use crate::hpke::{dhkem, Hpke, Kem, Library, TAG};
use crate::{Res, Scheme, CONTENT_KEY};
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM};
use aws_lc_rs::agreement::{
    agree, Algorithm, ParsedPublicKey, PrivateKey, UnparsedPublicKey, ECDH_P256, ECDH_P384,
    ECDH_P521, X25519,
};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{digest, hkdf, hmac, kem, rsa};

pub fn about() -> String {
    aws_lc_rs::awslc_version().to_string()
}

pub fn new(name: &str) -> Res<Option<Box<dyn Scheme>>> {
    let curve = |name| match name {
        "P-256" => Some((&ECDH_P256, 0x10, 1, hkdf::HKDF_SHA256, 65)),
        "P-384" => Some((&ECDH_P384, 0x11, 2, hkdf::HKDF_SHA384, 97)),
        "P-521" => Some((&ECDH_P521, 0x12, 3, hkdf::HKDF_SHA512, 133)),
        _ => None,
    };
    Ok(match name.split_once('/') {
        Some(("ecdh", c)) => match curve(c) {
            Some((algorithm, ..)) => Some(Box::new(Ecdh::new(algorithm)?)),
            None => None,
        },
        Some(("hpke", "X-Wing")) => {
            Some(Box::new(Hpke::new(XWing::new()?, Lc(hkdf::HKDF_SHA256))?))
        }
        Some(("hpke", c)) => match curve(c) {
            Some((algorithm, id, kdf, hash, enc)) => {
                let kem = DhKem {
                    pair: Ecdh::new(algorithm)?,
                    id,
                    kdf,
                    enc,
                    library: Lc(hash),
                };
                Some(Box::new(Hpke::new(kem, Lc(hash))?))
            }
            None => None,
        },
        Some(("rsa-oaep", "2048")) => Some(Box::new(Oaep::new()?)),
        _ => None,
    })
}

struct Ecdh {
    own: PrivateKey,
    public: Vec<u8>,
    other: Option<Vec<u8>>,
}

impl Ecdh {
    fn new(algorithm: &'static Algorithm) -> Res<Self> {
        let own = PrivateKey::generate(algorithm)?;
        let public = own.compute_public_key()?.as_ref().to_vec();
        Ok(Ecdh {
            own,
            public,
            other: None,
        })
    }

    fn agree<T>(
        &self,
        key: &PrivateKey,
        point: &[u8],
        then: impl FnOnce(&[u8]) -> Res<T>,
    ) -> Res<T> {
        // The point is checked here, as it is in each agreement of ours.
        let point: ParsedPublicKey =
            UnparsedPublicKey::new(self.own.algorithm(), point).try_into()?;
        agree(key, point, Unspecified.into(), then)
    }

    fn other(&self) -> Res<&[u8]> {
        Ok(self.other.as_deref().ok_or("meet somebody first")?)
    }
}

impl Scheme for Ecdh {
    fn public(&self) -> Vec<u8> {
        self.public.clone()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.other = Some(public.to_vec());
        Ok(())
    }

    fn make(&self) -> Res<Vec<u8>> {
        self.agree(&self.own, self.other()?, |secret| Ok(secret.to_vec()))
    }

    fn open(&self, _: &[u8]) -> Res<Vec<u8>> {
        Err("nothing to open".into())
    }
}

struct DhKem {
    pair: Ecdh,
    id: u16,
    kdf: u16,
    enc: usize,
    library: Lc,
}

impl Kem for DhKem {
    fn id(&self) -> u16 {
        self.id
    }

    fn kdf_id(&self) -> u16 {
        self.kdf
    }

    fn enc_size(&self) -> usize {
        self.enc
    }

    fn public(&self) -> Vec<u8> {
        self.pair.public()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.pair.meet(public)
    }

    fn encapsulate(&self) -> Res<(Vec<u8>, Vec<u8>)> {
        let (other, fresh) = (
            self.pair.other()?,
            PrivateKey::generate(self.pair.own.algorithm())?,
        );
        let enc = fresh.compute_public_key()?.as_ref().to_vec();
        let shared = self.pair.agree(&fresh, other, |dh| {
            dhkem(&self.library, self.id, dh, &enc, other)
        })?;
        Ok((shared, enc))
    }

    fn read(&mut self) -> Res<()> {
        let key: EcPrivateKeyBin = self.pair.own.as_be_bytes()?;
        self.pair.own = PrivateKey::from_private_key(self.pair.own.algorithm(), key.as_ref())?;
        self.pair.public = self.pair.own.compute_public_key()?.as_ref().to_vec();
        Ok(())
    }

    fn decapsulate(&self, enc: &[u8]) -> Res<Vec<u8>> {
        let pair = &self.pair;
        pair.agree(&pair.own, enc, |dh| {
            dhkem(&self.library, self.id, dh, enc, &pair.public)
        })
    }
}

struct XWing {
    own: kem::DecapsulationKey<kem::AlgorithmId>,
    ecdh: Ecdh,
    other: Option<kem::EncapsulationKey<kem::AlgorithmId>>,
}

const MLKEM_PUBLIC: usize = 1184;
const MLKEM_ENC: usize = 1088;
const X25519_SIZE: usize = 32;

impl XWing {
    fn new() -> Res<Self> {
        Ok(XWing {
            own: kem::DecapsulationKey::generate(&kem::ML_KEM_768)?,
            ecdh: Ecdh::new(&X25519)?,
            other: None,
        })
    }

    fn combine(quantum: &[u8], classic: &[u8], enc: &[u8], public: &[u8]) -> Vec<u8> {
        let mut hash = digest::Context::new(&digest::SHA3_256);
        for part in [quantum, classic, enc, public, br"\.//^\".as_slice()] {
            hash.update(part);
        }
        hash.finish().as_ref().to_vec()
    }
}

impl Kem for XWing {
    fn id(&self) -> u16 {
        0x647a
    }

    fn kdf_id(&self) -> u16 {
        1
    }

    fn enc_size(&self) -> usize {
        MLKEM_ENC + X25519_SIZE
    }

    fn public(&self) -> Vec<u8> {
        let key = self
            .own
            .encapsulation_key()
            .and_then(|k| Ok(k.key_bytes()?.as_ref().to_vec()));
        [
            key.expect("a generated key has its public part"),
            self.ecdh.public(),
        ]
        .concat()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        let (quantum, classic) = public.split_at_checked(MLKEM_PUBLIC).ok_or("short")?;
        self.other = Some(kem::EncapsulationKey::new(&kem::ML_KEM_768, quantum)?);
        self.ecdh.meet(classic)
    }

    fn encapsulate(&self) -> Res<(Vec<u8>, Vec<u8>)> {
        let (enc, quantum) = self
            .other
            .as_ref()
            .ok_or("meet somebody first")?
            .encapsulate()?;
        let (other, fresh) = (self.ecdh.other()?, PrivateKey::generate(&X25519)?);
        let point = fresh.compute_public_key()?;
        let shared = self.ecdh.agree(&fresh, other, |classic| {
            Ok(Self::combine(
                quantum.as_ref(),
                classic,
                point.as_ref(),
                other,
            ))
        })?;
        Ok((shared, [enc.as_ref(), point.as_ref()].concat()))
    }

    fn decapsulate(&self, enc: &[u8]) -> Res<Vec<u8>> {
        let (enc, point) = enc.split_at_checked(MLKEM_ENC).ok_or("short")?;
        let quantum = self.own.decapsulate(enc.into())?;
        self.ecdh.agree(&self.ecdh.own, point, |classic| {
            Ok(Self::combine(
                quantum.as_ref(),
                classic,
                point,
                &self.ecdh.public,
            ))
        })
    }
}

struct Oaep {
    own: rsa::OaepPrivateDecryptingKey,
    public: Vec<u8>,
    other: Option<rsa::OaepPublicEncryptingKey>,
}

impl Oaep {
    fn new() -> Res<Self> {
        let own = rsa::PrivateDecryptingKey::generate(rsa::KeySize::Rsa2048)?;
        let public = AsDer::<PublicKeyX509Der>::as_der(&own.public_key())?
            .as_ref()
            .to_vec();
        Ok(Oaep {
            own: rsa::OaepPrivateDecryptingKey::new(own)?,
            public,
            other: None,
        })
    }
}

impl Scheme for Oaep {
    fn public(&self) -> Vec<u8> {
        self.public.clone()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        let key = rsa::PublicEncryptingKey::from_der(public)?;
        self.other = Some(rsa::OaepPublicEncryptingKey::new(key)?);
        Ok(())
    }

    fn make(&self) -> Res<Vec<u8>> {
        let key = self.other.as_ref().ok_or("meet somebody first")?;
        let mut out = vec![0; key.ciphertext_size()];
        let size = key
            .encrypt(&rsa::OAEP_SHA256_MGF1SHA256, CONTENT_KEY, &mut out, None)?
            .len();
        out.truncate(size);
        Ok(out)
    }

    fn open(&self, message: &[u8]) -> Res<Vec<u8>> {
        let mut out = vec![0; self.own.min_output_size()];
        let size = self
            .own
            .decrypt(&rsa::OAEP_SHA256_MGF1SHA256, message, &mut out, None)?
            .len();
        out.truncate(size);
        Ok(out)
    }
}

/// AWS-LC's HKDF with one hash, and its AES-256-GCM.
#[derive(Clone, Copy)]
struct Lc(hkdf::Algorithm);

struct Size(usize);

impl hkdf::KeyType for Size {
    fn len(&self) -> usize {
        self.0
    }
}

fn aead(key: &[u8]) -> Res<LessSafeKey> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?))
}

impl Library for Lc {
    fn hash_size(&self) -> usize {
        self.0.hmac_algorithm().tag_len()
    }

    fn extract(&self, salt: &[u8], ikm: &[&[u8]], prk: &mut [u8]) -> Res<()> {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(self.0.hmac_algorithm(), salt));
        ikm.iter().for_each(|part| mac.update(part));
        prk.copy_from_slice(mac.sign().as_ref());
        Ok(())
    }

    fn expand(&self, prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Res<()> {
        Ok(hkdf::Prk::new_less_safe(self.0, prk)
            .expand(info, Size(out.len()))?
            .fill(out)?)
    }

    fn seal(
        &self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Res<()> {
        let start = out.len();
        out.extend_from_slice(text);
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let tag =
            aead(key)?.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut out[start..])?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open(&self, key: &[u8], nonce: &[u8], aad: &[u8], ct: &[u8]) -> Res<Vec<u8>> {
        let mut text = vec![0; ct.len().checked_sub(TAG).ok_or("short")?];
        let (ct, tag) = ct.split_at(text.len());
        aead(key)?.open_separate_gather(
            Nonce::try_assume_unique_for_key(nonce)?,
            Aad::from(aad),
            ct,
            tag,
            &mut text,
        )?;
        Ok(text)
    }
}
