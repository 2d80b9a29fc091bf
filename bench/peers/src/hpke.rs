//! HPKE (RFC 9180, mode_base) over a library's own key agreement, HKDF and AES-256-GCM. AWS-LC's HPKE has no NIST curve,
//! and OpenSSL has HPKE from 3.2 on: for both this is what a program on top of them does. A key that is there stays
//! parsed, the hash of the absent key's id is kept, and a message is one allocation.

use crate::{Res, Scheme, AAD, INFO, TEXT};

pub const TAG: usize = 16;
const KEY: usize = 32;
const NONCE: usize = 12;
const MAX_HASH: usize = 64;

/// HKDF (RFC 5869) with one hash, and AES-256-GCM.
pub trait Library {
    fn hash_size(&self) -> usize;
    fn extract(&self, salt: &[u8], ikm: &[&[u8]], prk: &mut [u8]) -> Res<()>;
    fn expand(&self, prk: &[u8], info: &[&[u8]], out: &mut [u8]) -> Res<()>;
    /// Appends ciphertext and tag to out.
    fn seal(&self, key: &[u8], nonce: &[u8], aad: &[u8], text: &[u8], out: &mut Vec<u8>)
        -> Res<()>;
    fn open(&self, key: &[u8], nonce: &[u8], aad: &[u8], ct: &[u8]) -> Res<Vec<u8>>;
}

/// A key pair's side of a key encapsulation, and the other side's public key.
pub trait Kem {
    fn id(&self) -> u16;
    fn kdf_id(&self) -> u16;
    fn enc_size(&self) -> usize;
    fn public(&self) -> Vec<u8>;
    fn meet(&mut self, public: &[u8]) -> Res<()>;
    /// Returns the shared secret and its encapsulation.
    fn encapsulate(&self) -> Res<(Vec<u8>, Vec<u8>)>;
    fn decapsulate(&self, enc: &[u8]) -> Res<Vec<u8>>;
    /// As [`Scheme::read`].
    fn read(&mut self) -> Res<()> {
        Err("absent".into())
    }
}

/// DHKEM's ExtractAndExpand (RFC 9180, section 4.1).
pub fn dhkem<L: Library>(l: &L, id: u16, dh: &[u8], enc: &[u8], public: &[u8]) -> Res<Vec<u8>> {
    let size = l.hash_size();
    let suite = [b'K', b'E', b'M', (id >> 8) as u8, id as u8];
    let mut prk = [0; MAX_HASH];
    labeled_extract(l, &suite, &[], "eae_prk", dh, &mut prk[..size])?;
    let mut shared = vec![0; size];
    labeled_expand(
        l,
        &suite,
        &prk[..size],
        "shared_secret",
        &[enc, public],
        &mut shared,
    )?;
    Ok(shared)
}

fn labeled_extract<L: Library>(
    l: &L,
    suite: &[u8],
    salt: &[u8],
    label: &str,
    ikm: &[u8],
    prk: &mut [u8],
) -> Res<()> {
    l.extract(salt, &[b"HPKE-v1", suite, label.as_bytes(), ikm], prk)
}

fn labeled_expand<L: Library>(
    l: &L,
    suite: &[u8],
    prk: &[u8],
    label: &str,
    info: &[&[u8]; 2],
    out: &mut [u8],
) -> Res<()> {
    let size = (out.len() as u16).to_be_bytes();
    l.expand(
        prk,
        &[&size, b"HPKE-v1", suite, label.as_bytes(), info[0], info[1]],
        out,
    )
}

pub struct Hpke<K, L> {
    kem: K,
    library: L,
    suite: [u8; 10],
    psk_id_hash: Vec<u8>,
}

impl<K: Kem, L: Library> Hpke<K, L> {
    pub fn new(kem: K, library: L) -> Res<Self> {
        let mut suite = *b"HPKE\0\0\0\0\0\x02"; // AES-256-GCM
        suite[4..6].copy_from_slice(&kem.id().to_be_bytes());
        suite[6..8].copy_from_slice(&kem.kdf_id().to_be_bytes());
        let mut psk_id_hash = vec![0; library.hash_size()];
        labeled_extract(&library, &suite, &[], "psk_id_hash", &[], &mut psk_id_hash)?;
        Ok(Hpke {
            kem,
            library,
            suite,
            psk_id_hash,
        })
    }

    /// The key schedule (section 5.1): key, nonce, and the exporter secret that each context has.
    fn schedule(&self, shared: &[u8]) -> Res<([u8; KEY], [u8; NONCE], [u8; MAX_HASH])> {
        let (l, size) = (&self.library, self.library.hash_size());
        let mut context = [0; 1 + 2 * MAX_HASH];
        context[1..1 + size].copy_from_slice(&self.psk_id_hash);
        labeled_extract(
            l,
            &self.suite,
            &[],
            "info_hash",
            INFO,
            &mut context[1 + size..1 + 2 * size],
        )?;
        let context = &context[..1 + 2 * size];
        let mut secret = [0; MAX_HASH];
        let secret = &mut secret[..size];
        labeled_extract(l, &self.suite, shared, "secret", &[], secret)?;
        let (mut key, mut nonce, mut exporter) = ([0; KEY], [0; NONCE], [0; MAX_HASH]);
        labeled_expand(l, &self.suite, secret, "key", &[context, &[]], &mut key)?;
        labeled_expand(
            l,
            &self.suite,
            secret,
            "base_nonce",
            &[context, &[]],
            &mut nonce,
        )?;
        labeled_expand(
            l,
            &self.suite,
            secret,
            "exp",
            &[context, &[]],
            &mut exporter[..size],
        )?;
        Ok((key, nonce, exporter))
    }
}

impl<K: Kem, L: Library> Scheme for Hpke<K, L> {
    fn public(&self) -> Vec<u8> {
        self.kem.public()
    }

    fn meet(&mut self, public: &[u8]) -> Res<()> {
        self.kem.meet(public)
    }

    fn make(&self) -> Res<Vec<u8>> {
        let (shared, mut message) = self.kem.encapsulate()?;
        let (key, nonce, exporter) = self.schedule(&shared)?;
        std::hint::black_box(exporter);
        message.reserve_exact(TEXT.len() + TAG);
        self.library.seal(&key, &nonce, AAD, TEXT, &mut message)?;
        Ok(message)
    }

    fn open(&self, message: &[u8]) -> Res<Vec<u8>> {
        let (enc, ct) = message
            .split_at_checked(self.kem.enc_size())
            .ok_or("short")?;
        let shared = self.kem.decapsulate(enc)?;
        let (key, nonce, exporter) = self.schedule(&shared)?;
        std::hint::black_box(exporter);
        self.library.open(&key, &nonce, AAD, ct)
    }

    fn read(&mut self) -> Res<()> {
        self.kem.read()
    }
}
