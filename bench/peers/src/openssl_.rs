//! The system's OpenSSL by the crate openssl. Contexts that can be used again are, because version 3 looks algorithms
//! up for each new one. X-Wing is absent: ML-KEM is there from 3.5 on.

use crate::hpke::{dhkem, Hpke, Kem, Library, TAG};
use crate::{Res, Scheme, CONTENT_KEY};
use openssl::bn::BigNumContext;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::hash::MessageDigest;
use openssl::md::{Md, MdRef};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::pkey_ctx::{HkdfMode, PkeyCtx};
use openssl::rsa::{Padding, Rsa};
use std::cell::RefCell;

pub fn about() -> String {
    openssl::version::version().to_string()
}

pub fn new(name: &str) -> Res<Option<Box<dyn Scheme>>> {
    let curve = |name| match name {
        "P-256" => Some((
            Nid::X9_62_PRIME256V1,
            0x10,
            1,
            MessageDigest::sha256(),
            Md::sha256(),
        )),
        "P-384" => Some((
            Nid::SECP384R1,
            0x11,
            2,
            MessageDigest::sha384(),
            Md::sha384(),
        )),
        "P-521" => Some((
            Nid::SECP521R1,
            0x12,
            3,
            MessageDigest::sha512(),
            Md::sha512(),
        )),
        _ => None,
    };
    Ok(match name.split_once('/') {
        Some(("ecdh", c)) => match curve(c) {
            Some((nid, ..)) => Some(Box::new(Ecdh::new(nid)?)),
            None => None,
        },
        Some(("hpke", c)) => match curve(c) {
            Some((nid, id, kdf, digest, md)) => {
                let pair = Ecdh::new(nid)?;
                let kem = DhKem {
                    der: pair.own.private_key_to_der()?,
                    pair,
                    id,
                    kdf,
                    library: Ssl::new(digest, md)?,
                };
                Some(Box::new(Hpke::new(kem, Ssl::new(digest, md)?)?))
            }
            None => None,
        },
        Some(("rsa-oaep", "2048")) => Some(Box::new(Oaep::new()?)),
        _ => None,
    })
}

struct Ecdh {
    group: EcGroup,
    own: PKey<Private>,
    public: Vec<u8>,
    other: Option<(Vec<u8>, PKey<Public>)>,
}

fn pair(group: &EcGroup) -> Res<(PKey<Private>, Vec<u8>)> {
    let key = EcKey::generate(group)?;
    let mut scratch = BigNumContext::new()?;
    let public =
        key.public_key()
            .to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut scratch)?;
    Ok((PKey::from_ec_key(key)?, public))
}

impl Ecdh {
    fn new(nid: Nid) -> Res<Self> {
        let group = EcGroup::from_curve_name(nid)?;
        let (own, public) = pair(&group)?;
        Ok(Ecdh {
            group,
            own,
            public,
            other: None,
        })
    }

    /// Reads a point and checks that it is on the curve.
    fn point(&self, point: &[u8]) -> Res<PKey<Public>> {
        let mut scratch = BigNumContext::new()?;
        let point = EcPoint::from_bytes(&self.group, point, &mut scratch)?;
        Ok(PKey::from_ec_key(EcKey::from_public_key(
            &self.group,
            &point,
        )?)?)
    }

    fn other(&self) -> Res<&(Vec<u8>, PKey<Public>)> {
        Ok(self.other.as_ref().ok_or("meet somebody first")?)
    }

    fn agree(key: &PKey<Private>, point: &PKey<Public>) -> Res<Vec<u8>> {
        let mut d = Deriver::new(key)?;
        d.set_peer_ex(point, false)?; // reading it has checked it
        Ok(d.derive_to_vec()?)
    }
}

impl Scheme for Ecdh {
    fn public(&self) -> Vec<u8> {
        self.public.clone()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.other = Some((public.to_vec(), self.point(public)?));
        Ok(())
    }

    fn make(&self) -> Res<Vec<u8>> {
        Self::agree(&self.own, &self.point(&self.other()?.0)?)
    }

    fn open(&self, _: &[u8]) -> Res<Vec<u8>> {
        Err("nothing to open".into())
    }
}

struct DhKem {
    pair: Ecdh,
    der: Vec<u8>,
    id: u16,
    kdf: u16,
    library: Ssl,
}

impl Kem for DhKem {
    fn id(&self) -> u16 {
        self.id
    }

    fn kdf_id(&self) -> u16 {
        self.kdf
    }

    fn enc_size(&self) -> usize {
        self.pair.public.len()
    }

    fn public(&self) -> Vec<u8> {
        self.pair.public()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.pair.meet(public)
    }

    fn encapsulate(&self) -> Res<(Vec<u8>, Vec<u8>)> {
        let (other, fresh) = (self.pair.other()?, pair(&self.pair.group)?);
        let dh = Ecdh::agree(&fresh.0, &other.1)?;
        Ok((
            dhkem(&self.library, self.id, &dh, &fresh.1, &other.0)?,
            fresh.1,
        ))
    }

    fn read(&mut self) -> Res<()> {
        let key = PKey::private_key_from_der(&self.der)?;
        let mut scratch = BigNumContext::new()?;
        let point = key.ec_key()?.public_key().to_bytes(
            &self.pair.group,
            PointConversionForm::UNCOMPRESSED,
            &mut scratch,
        )?;
        (self.pair.own, self.pair.public) = (key, point);
        Ok(())
    }

    fn decapsulate(&self, enc: &[u8]) -> Res<Vec<u8>> {
        let dh = Ecdh::agree(&self.pair.own, &self.pair.point(enc)?)?;
        dhkem(&self.library, self.id, &dh, enc, &self.pair.public)
    }
}

struct Oaep {
    own: PKey<Private>,
    other: Option<PKey<Public>>,
}

impl Oaep {
    fn new() -> Res<Self> {
        Ok(Oaep {
            own: PKey::from_rsa(Rsa::generate(2048)?)?,
            other: None,
        })
    }
}

fn padded<T>(ctx: &mut PkeyCtx<T>) -> Res<()> {
    ctx.set_rsa_padding(Padding::PKCS1_OAEP)?;
    ctx.set_rsa_oaep_md(Md::sha256())?;
    Ok(ctx.set_rsa_mgf1_md(Md::sha256())?)
}

impl Scheme for Oaep {
    fn public(&self) -> Vec<u8> {
        self.own
            .public_key_to_der()
            .expect("a key has a public part")
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.other = Some(PKey::public_key_from_der(public)?);
        Ok(())
    }

    fn make(&self) -> Res<Vec<u8>> {
        let mut ctx = PkeyCtx::new(self.other.as_ref().ok_or("meet somebody first")?)?;
        ctx.encrypt_init()?;
        padded(&mut ctx)?;
        let mut out = Vec::new();
        ctx.encrypt_to_vec(CONTENT_KEY, &mut out)?;
        Ok(out)
    }

    fn open(&self, message: &[u8]) -> Res<Vec<u8>> {
        let mut ctx = PkeyCtx::new(&self.own)?;
        ctx.decrypt_init()?;
        padded(&mut ctx)?;
        let mut out = vec![0; self.own.size()];
        let size = ctx.decrypt(message, Some(&mut out))?;
        out.truncate(size);
        Ok(out)
    }
}

/// OpenSSL's HKDF with one hash, and its AES-256-GCM.
struct Ssl {
    size: usize,
    md: &'static MdRef,
    kdf: RefCell<PkeyCtx<()>>,
    cipher: RefCell<CipherCtx>,
}

impl Ssl {
    fn new(digest: MessageDigest, md: &'static MdRef) -> Res<Self> {
        let kdf = RefCell::new(PkeyCtx::new_id(Id::HKDF)?);
        Ok(Ssl {
            size: digest.size(),
            md,
            kdf,
            cipher: RefCell::new(CipherCtx::new()?),
        })
    }
}

impl Library for Ssl {
    fn hash_size(&self) -> usize {
        self.size
    }

    fn extract(&self, salt: &[u8], ikm: &[&[u8]], prk: &mut [u8]) -> Res<()> {
        let mut kdf = self.kdf.borrow_mut();
        kdf.derive_init()?;
        kdf.set_hkdf_mode(HkdfMode::EXTRACT_ONLY)?;
        kdf.set_hkdf_md(self.md)?;
        if !salt.is_empty() {
            kdf.set_hkdf_salt(salt)?;
        }
        kdf.set_hkdf_key(&ikm.concat())?;
        kdf.derive(Some(prk))?;
        Ok(())
    }

    fn expand(&self, prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Res<()> {
        let mut kdf = self.kdf.borrow_mut();
        kdf.derive_init()?;
        kdf.set_hkdf_mode(HkdfMode::EXPAND_ONLY)?;
        kdf.set_hkdf_md(self.md)?;
        kdf.set_hkdf_key(prk)?;
        kdf.add_hkdf_info(&info.concat())?;
        kdf.derive(Some(out))?;
        Ok(())
    }

    fn seal(
        &self,
        key: &[u8],
        nonce: &[u8],
        aad: &[u8],
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Res<()> {
        let mut ctx = self.cipher.borrow_mut();
        ctx.encrypt_init(Some(Cipher::aes_256_gcm()), Some(key), Some(nonce))?;
        ctx.cipher_update(aad, None)?;
        ctx.cipher_update_vec(text, out)?;
        ctx.cipher_final_vec(out)?;
        let start = out.len();
        out.resize(start + TAG, 0);
        ctx.tag(&mut out[start..])?;
        Ok(())
    }

    fn open(&self, key: &[u8], nonce: &[u8], aad: &[u8], ct: &[u8]) -> Res<Vec<u8>> {
        let (ct, tag) = ct.split_at(ct.len().checked_sub(TAG).ok_or("short")?);
        let mut ctx = self.cipher.borrow_mut();
        ctx.decrypt_init(Some(Cipher::aes_256_gcm()), Some(key), Some(nonce))?;
        ctx.cipher_update(aad, None)?;
        let mut text = Vec::with_capacity(ct.len() + TAG);
        ctx.cipher_update_vec(ct, &mut text)?;
        ctx.set_tag(tag)?;
        ctx.cipher_final_vec(&mut text)?;
        Ok(text)
    }
}
