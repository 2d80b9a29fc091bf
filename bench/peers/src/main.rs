//! peers LIBRARY: does what Redoubt's cryptography does with another library, `aws-lc` or `openssl`, so that
//! `bench peers` can compare the two. It has the keys of its own; nothing here is meant to keep a secret.
//!
//! Each line of standard input is a question, and gets one line: `ok` and an answer, or `no` and a reason.
//!
//! | question | answer |
//! |---|---|
//! | `about` | name and version of the library |
//! | `public SCHEME` | hex of our public key: an uncompressed point, X-Wing's public key, or an RSA key's SubjectPublicKeyInfo |
//! | `meet SCHEME HEX` | takes the other side's public key |
//! | `make SCHEME` | hex of what we make for that key: a sealed message, or in `ecdh/...` the shared secret |
//! | `open SCHEME HEX` | hex of what was in a message for our key |
//! | `time SCHEME make N`, `time SCHEME open N` | nanoseconds of CPU for doing the last of these N times again |
//! | `time SCHEME read-open N` | the same with the private key read from its bytes before each opening |
//!
//! A scheme that the library has not is answered with `no absent`.

mod aws_lc;
mod hpke;
mod openssl_;

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

/// Something that has gone wrong, for the one who measures.
pub type Res<T> = Result<T, Box<dyn std::error::Error>>;

/// All sides put these into their messages.
pub const INFO: &[u8] = b"v_bench";
pub const AAD: &[u8] = b"ssn9";
pub const TEXT: &[u8] = b"123-45-6789";
/// A content key, as KMS wraps it for a recipient.
pub const CONTENT_KEY: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

/// A key pair and the other side's public key.
pub trait Scheme {
    fn public(&self) -> Vec<u8>;
    fn meet(&mut self, public: &[u8]) -> Res<()>;
    fn make(&self) -> Res<Vec<u8>>;
    fn open(&self, message: &[u8]) -> Res<Vec<u8>>;
    /// Reads the private key from its bytes again, and computes the public one.
    fn read(&mut self) -> Res<()> {
        Err("absent".into())
    }
}

type Maker = fn(&str) -> Res<Option<Box<dyn Scheme>>>;

struct Known {
    scheme: Box<dyn Scheme>,
    message: Vec<u8>,
}

fn main() -> Res<()> {
    let library = std::env::args().nth(1).unwrap_or_default();
    let (about, new): (String, Maker) = match library.as_str() {
        "aws-lc" => (aws_lc::about(), aws_lc::new),
        "openssl" => (openssl_::about(), openssl_::new),
        _ => {
            return Err("peers aws-lc|openssl: does what bench peers asks on standard input".into())
        }
    };
    let mut known = HashMap::new();
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match answer(&about, new, &mut known, &words) {
            Ok(text) => writeln!(out, "ok {text}")?,
            Err(e) => writeln!(out, "no {e}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(
    about: &str,
    new: Maker,
    all: &mut HashMap<String, Known>,
    words: &[&str],
) -> Res<String> {
    if words == ["about"] {
        return Ok(about.to_string());
    }
    let name = *words.get(1).ok_or("what scheme?")?;
    if !all.contains_key(name) {
        let scheme = new(name)?.ok_or("absent")?;
        all.insert(
            name.to_string(),
            Known {
                scheme,
                message: Vec::new(),
            },
        );
    }
    let k = all.get_mut(name).ok_or("absent")?;
    match (words[0], &words[2..]) {
        ("public", []) => Ok(hex(&k.scheme.public())),
        ("meet", [key]) => k.scheme.meet(&unhex(key)?).map(|()| String::new()),
        ("make", []) => Ok(hex(&k.scheme.make()?)),
        ("open", [message]) => {
            k.message = unhex(message)?;
            Ok(hex(&k.scheme.open(&k.message)?))
        }
        ("time", [what @ ("make" | "open" | "read-open"), n]) => {
            let n: u64 = n.parse()?;
            let before = cpu()?;
            for _ in 0..n {
                if *what == "read-open" {
                    k.scheme.read()?;
                }
                let done = if *what == "make" {
                    k.scheme.make()
                } else {
                    k.scheme.open(&k.message)
                };
                std::hint::black_box(done?);
            }
            Ok((cpu()? - before).to_string())
        }
        _ => Err("no such question".into()),
    }
}

/// The CPU time of this process, in nanoseconds.
fn cpu() -> Res<i64> {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) } != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(t.tv_sec * 1_000_000_000 + t.tv_nsec)
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|x| format!("{x:02x}")).collect()
}

fn unhex(s: &str) -> Res<Vec<u8>> {
    if s.len() % 2 != 0 || !s.is_ascii() {
        return Err("no hex".into());
    }
    (0..s.len())
        .step_by(2)
        .map(|i| Ok(u8::from_str_radix(&s[i..i + 2], 16)?))
        .collect()
}
