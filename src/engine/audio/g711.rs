//! G.711 mu-law, by table (ITU-T G.711; encoder arithmetic as in ITU-T G.191 `ulaw_compress`).

/// The code of (positive) silence.
pub const SILENCE: u8 = 0xFF;

/// Linear 16-bit samples of all 256 codes. Peak is 32124.
pub const LINEAR: [i16; 256] = linear_table();

/// Decodes one code.
#[must_use]
#[inline]
pub const fn decode(code: u8) -> i16 {
    LINEAR[code as usize]
}

/// Encodes one linear 16-bit sample.
#[must_use]
pub const fn encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = if sample < 0 { !(sample as i32) } else { sample as i32 };
    let biased = if magnitude > 32_635 { 32_635 } else { magnitude } + 132;
    let exponent = 24 - biased.leading_zeros() as i32;
    let mantissa = (biased >> (exponent + 3)) & 15;
    !(sign | ((exponent << 4) as u8) | mantissa as u8)
}

const fn linear_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let exponent = (bits >> 4) & 7;
        let mantissa = (bits & 15) as i32;
        let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
        table[code] = if bits & 0x80 != 0 { -magnitude as i16 } else { magnitude as i16 };
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255u8 {
            // 0x7F is negative zero: it decodes to 0, which encodes as positive zero.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(decode(code)), expected);
        }
        assert_eq!((decode(0x80), decode(0x00), decode(SILENCE)), (32_124, -32_124, 0));
    }
}
