//! A search through the process's own memory: heap, freed heap memory, stacks and static variables.

use std::fs::File;
use std::io::BufRead;
use std::os::unix::fs::FileExt;

/// Secrets to search for are stored XORed with this mask, so that the search does not find its own copies of the secrets.
pub(crate) const MASK: u8 = 0x5a;

/// A secret to search for: its name and its masked bytes.
pub(crate) type Needle = (&'static str, Vec<u8>);

pub(crate) fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ MASK).collect()
}

/// Searches the memory of this process. Returns the names of the needles that were found.
pub(crate) fn found(needles: &[Needle], window: &mut [u8]) -> Vec<String> {
    let memory = File::open("/proc/self/mem").expect("Linux has it");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let mut found = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, rest) = line.split_once(' ').expect("a range comes first");
        let (start, end) = range.split_once('-').expect("from and to");
        let number = |hex| u64::from_str_radix(hex, 16).expect("the address is hexadecimal");
        let (mut at, end) = (number(start), number(end));
        while at < end {
            window.fill(0);
            let length = window.len().min(usize::try_from(end - at).expect("the length fits into a usize"));
            let Ok(count) = memory.read_at(&mut window[..length], at) else { break };
            for (name, needle) in needles {
                let place = offset(needle, &window[..count]).map(|offset| at + offset as u64);
                found.extend(place.map(|place| format!("{name} in {rest} at {place:x}")));
            }
            // Windows overlap by 128 bytes, which is more than the length of a needle. So a needle that the end of a window cuts is whole
            // in the next window.
            at += if count < length || at + count as u64 == end { count as u64 } else { count as u64 - 128 };
            if count == 0 {
                break;
            }
        }
    }
    window.fill(0);
    found
}

fn offset(masked: &[u8], haystack: &[u8]) -> Option<usize> {
    let first = masked[0] ^ MASK;
    let mut rest = haystack;
    loop {
        // `skip_until` searches fast even in a debug build, because the functions of the standard library are always compiled with
        // optimisation.
        match rest.skip_until(first) {
            Ok(skipped) if skipped > 0 => {}
            _ => return None,
        }
        let at = haystack.len() - rest.len();
        let after = haystack.get(at..at + masked.len() - 1).unwrap_or_default();
        if !after.is_empty() && after.iter().zip(&masked[1..]).all(|(byte, masked)| byte ^ MASK == *masked) {
            return Some(at - 1);
        }
        if rest.is_empty() {
            return None;
        }
    }
}
