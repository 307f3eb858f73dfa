//! The format of a code, failures of the generator, and the distribution of codes.

use std::cell::Cell;

use super::*;
use crate::rules::{ConfigError, Secret, push_id, system_random};

fn fails(_: &mut [u8]) -> Result<(), RandomFailed> {
    Err(RandomFailed)
}

#[test]
fn form_is_exact_ascii_digits() {
    let table = [
        ("123456", Ok(())),
        ("000000", Ok(())),
        ("", Err(Malformed::Blank)),
        ("   ", Err(Malformed::Blank)),
        ("\u{a0}\u{a0}\u{a0}\u{a0}\u{a0}\u{a0}", Err(Malformed::Blank)),
        ("12345", Err(Malformed::WrongLength)),
        ("1234567", Err(Malformed::WrongLength)),
        (" 123456", Err(Malformed::WrongLength)),
        ("123456\n", Err(Malformed::WrongLength)),
        ("123 456", Err(Malformed::WrongLength)),
        ("+12345", Err(Malformed::InvalidCharacter)),
        ("-12345", Err(Malformed::InvalidCharacter)),
        ("12345a", Err(Malformed::InvalidCharacter)),
        ("12345\u{a0}", Err(Malformed::InvalidCharacter)),
        ("12345\0", Err(Malformed::InvalidCharacter)),
        ("１２３４５６", Err(Malformed::InvalidCharacter)),
        ("١٢٣٤٥٦", Err(Malformed::InvalidCharacter)),
    ];
    for (code, expected) in table {
        assert_eq!(check_form(code, 6), expected, "{code:?}");
    }
}

#[test]
fn a_failing_generator_fails() {
    assert_eq!(OneTimeCode::generate(6, fails).err(), Some(RandomFailed));
    assert_eq!(push_id(fails), Err(RandomFailed));
    assert_eq!(Secret::generate(fails).err(), Some(ConfigError::RandomUnavailable));
}

/// T11: chi-square test of the digit at each position and of the first two digits together.
#[test]
fn codes_are_uniform_with_leading_zeros() {
    const CODES: u32 = 1_000_000;
    let mut places = [[0_u32; 10]; 6];
    let mut pairs = [0_u32; 100];
    for _ in 0..CODES {
        let code = OneTimeCode::generate(6, system_random).unwrap();
        let bytes = code.expose().as_bytes();
        assert_eq!(bytes.len(), 6);
        for (place, byte) in places.iter_mut().zip(bytes) {
            place[usize::from(byte - b'0')] += 1;
        }
        pairs[usize::from((bytes[0] - b'0') * 10 + bytes[1] - b'0')] += 1;
    }
    let chi_square = |counts: &[u32]| {
        let expected = f64::from(CODES) / counts.iter().map(|_| 1.0).sum::<f64>();
        counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>()
    };
    // 9 and 99 degrees of freedom; a uniform generator exceeds either limit less than once in 10⁹ runs.
    for place in &places {
        assert!(chi_square(place) < 60.0, "{place:?}");
    }
    assert!(chi_square(&pairs) < 220.0);
}

#[test]
fn bytes_from_250_are_thrown_away() {
    #[expect(clippy::unnecessary_wraps, reason = "the signature of a generator")]
    fn high_then_low(buffer: &mut [u8]) -> Result<(), RandomFailed> {
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = if i % 2 == 0 { 250 + u8::try_from(i % 6).unwrap() } else { 249 };
        }
        Ok(())
    }
    assert_eq!(OneTimeCode::generate(12, high_then_low).unwrap().expose(), "999999999999");
}

/// Each draw yields one digit, except the last, which yields more than needed.
#[test]
fn a_code_has_its_length_however_often_is_drawn() {
    thread_local! {
        static DRAWS: Cell<u8> = const { Cell::new(0) };
    }
    #[expect(clippy::unnecessary_wraps, reason = "the signature of a generator")]
    fn meagre(buffer: &mut [u8]) -> Result<(), RandomFailed> {
        DRAWS.set(DRAWS.get() + 1);
        buffer.fill(if DRAWS.get() < 5 { 255 } else { 5 });
        buffer[0] = 1;
        Ok(())
    }
    assert_eq!(OneTimeCode::generate(6, meagre).unwrap().expose(), "111115");
}
