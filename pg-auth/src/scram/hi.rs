//! `Hi` of [RFC 5802, section 2.2](https://www.rfc-editor.org/rfc/rfc5802#section-2.2): PBKDF2 with HMAC-SHA-256 and one block of output.
//!
//! Every round but the first hashes 32 bytes, twice, from two states that follow from the password. So a round is two compressions,
//! and nothing else is worth doing in it: the `pbkdf2` crate, which this is tested against, clones and wipes a hash and its buffer in each
//! round, and takes half as long again (550 µs for 4,096 rounds, where this takes 350).

use std::num::NonZeroU32;
use std::slice;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::keys::hmac;

/// What SHA-256 begins with: [FIPS 180-4](https://doi.org/10.6028/NIST.FIPS.180-4), 5.3.3.
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Bytes of a block.
const BLOCK: usize = 64;

/// What SHA-256 puts behind the 32 bytes of a round: a bit, and how many bits these are together with the block of the password.
const PADDING: [u8; 32] = {
    let mut padding = [0; 32];
    padding[0] = 0x80;
    [padding[30], padding[31]] = (8 * (BLOCK as u16 + 32)).to_be_bytes();
    padding
};

/// The salted password.
pub(super) fn hi(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Zeroizing<[u8; 32]> {
    let mut salted = Zeroizing::new(hmac(password, &[salt, &1u32.to_be_bytes()]));
    let (inner, outer) = (keyed(password, 0x36), keyed(password, 0x5c));
    // What the round before came to, and the padding, which stays.
    let mut block = Zeroizing::new([0; BLOCK]);
    fill(&mut block, salted.iter().chain(&PADDING));
    for _ in 1..iterations.get() {
        compress_to_front(&inner, &mut block);
        compress_to_front(&outer, &mut block);
        salted.iter_mut().zip(block.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    salted
}

/// The state of SHA-256 behind the block that HMAC begins with.
fn keyed(password: &[u8], pad: u8) -> Zeroizing<[u32; 8]> {
    let mut block = Zeroizing::new([0; BLOCK]);
    if password.len() <= BLOCK {
        fill(&mut block, password);
    } else {
        fill(&mut block, &Sha256::digest(password));
    }
    block.iter_mut().for_each(|byte| *byte ^= pad);
    let mut state = Zeroizing::new(INITIAL);
    compress256(&mut state, slice::from_ref(&*block));
    state
}

fn fill<'a>(block: &mut [u8; BLOCK], bytes: impl IntoIterator<Item = &'a u8>) {
    block.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}

/// Hashes the block from this state on, and puts the result where its first 32 bytes were.
///
/// Out of line: in the loop the compiler mixes it with the sum and stores single words, for which the next compression, which loads
/// four at once, has to wait.
#[inline(never)]
fn compress_to_front(from: &[u32; 8], block: &mut [u8; BLOCK]) {
    let mut state = *from;
    compress256(&mut state, slice::from_ref(block));
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_the_crate_makes_of_it(
            password in prop::collection::vec(any::<u8>(), 0..200),
            salt in prop::collection::vec(any::<u8>(), 0..200),
            iterations in 1..50u32,
        ) {
            let mut expected = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(&password, &salt, iterations, &mut expected);
            let iterations = NonZeroU32::new(iterations).expect("from 1 on");
            prop_assert_eq!(*hi(&password, &salt, iterations), expected);
        }
    }

    #[test]
    fn a_password_may_be_as_long_as_a_block_and_longer() {
        for length in 62..=67 {
            let password = vec![b'x'; length];
            let mut expected = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(&password, b"salt", 4096, &mut expected);
            let iterations = NonZeroU32::new(4096).expect("not zero");
            assert_eq!(*hi(&password, b"salt", iterations), expected, "{length}");
        }
    }
}
