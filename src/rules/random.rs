//! The operating system's random generator, and the error for its failure.

/// The operating system's generator, or a replacement that fails in tests.
pub(crate) type Random = fn(&mut [u8]) -> Result<(), RandomFailed>;

/// The generator failed, so no challenge is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomFailed;

pub(crate) fn system_random(buffer: &mut [u8]) -> Result<(), RandomFailed> {
    getrandom::fill(buffer).map_err(|_| RandomFailed)
}

pub(crate) fn random_bytes<const N: usize>(random: Random) -> Result<[u8; N], RandomFailed> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}
