// Predecessor lookups over Rust's BTreeMap, to stand beside index-bench: the same keys, the same
// lookups in the same order, the same loops.
//
//   rustc -O Benchmarks/rust/btreemap.rs -o btreemap && ./btreemap keys.bin lookups.bin [splits.bin]
//
// With splits.bin the keys in it are inserted one by one after the others, and the lookups done again.

use std::collections::BTreeMap;
use std::time::Instant;

fn read(path: &str) -> Vec<Box<[u8]>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| {
        eprintln!("{path}: {error}");
        std::process::exit(1)
    });
    let mut keys = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() >= 4 {
        let length = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        keys.push(rest[4..4 + length].into());
        rest = &rest[4 + length..];
    }
    keys
}

fn predecessor(map: &BTreeMap<Box<[u8]>, u64>, key: &[u8]) -> u64 {
    map.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key)))
        .next_back()
        .map_or(0, |(_, value)| *value)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 3 && arguments.len() != 4 {
        eprintln!("usage: btreemap KEYS LOOKUPS [SPLITS]");
        std::process::exit(1);
    }
    let keys = read(&arguments[1]);
    // One behind the other in memory, as index-bench has them.
    let lookups = read(&arguments[2]);
    let flat: Vec<u8> = lookups.iter().flat_map(|key| key.iter().copied()).collect();
    let mut ranges = Vec::with_capacity(lookups.len());
    let mut offset = 0;
    for key in &lookups {
        ranges.push(offset..offset + key.len());
        offset += key.len();
    }
    drop(lookups);
    let mut map = BTreeMap::new();
    for (index, key) in keys.into_iter().enumerate() {
        map.insert(key, index as u64 + 1);
    }
    measure("rust_btreemap_lookup", &map, &flat, &ranges);
    if let Some(path) = arguments.get(3) {
        for key in read(path) {
            let next = map.len() as u64 + 1;
            map.insert(key, next);
        }
        measure("rust_btreemap_lookup_after_splits", &map, &flat, &ranges);
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * 4096
}

fn measure(
    name: &str,
    map: &BTreeMap<Box<[u8]>, u64>,
    flat: &[u8],
    ranges: &[std::ops::Range<usize>],
) {
    let resident = resident_bytes();
    let mut elapsed = u128::MAX;
    let mut checksum = 0u64;
    for _ in 0..3 {
        checksum = 0;
        let begin = Instant::now();
        for range in ranges {
            checksum = checksum.wrapping_add(predecessor(map, &flat[range.clone()]));
        }
        elapsed = elapsed.min(begin.elapsed().as_nanos());
    }

    let mut overheads: Vec<u128> = (0..100_001)
        .map(|_| {
            let start = Instant::now();
            start.elapsed().as_nanos()
        })
        .collect();
    overheads.sort();
    let overhead = overheads[overheads.len() / 2];
    let mut samples: Vec<u128> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let start = Instant::now();
        let value = predecessor(map, &flat[range.clone()]);
        samples.push(start.elapsed().as_nanos());
        checksum = checksum.wrapping_add(value);
    }
    samples.sort();
    let at = |share: f64| {
        let position = ((samples.len() as f64 * share) as usize).min(samples.len() - 1);
        samples[position].saturating_sub(overhead)
    };
    println!(
        "{{\"bench\":\"{}\",\"routes\":{},\"resident_bytes\":{},\"mean_ns\":{:.1},\"median_ns\":{},\"p99_ns\":{},\"checksum\":{}}}",
        name,
        map.len(),
        resident,
        elapsed as f64 / ranges.len() as f64,
        at(0.5),
        at(0.99),
        checksum
    );
}
