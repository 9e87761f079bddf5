//! Check digits. They make a match surer; none is ever needed, for one misheard digit fails them all.

/// Payment cards.
pub(super) fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, digit)| {
            let digit = u32::from(digit - b'0') * if n % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    digits.len() >= 12 && sum.is_multiple_of(10)
}

/// US bank routing numbers, with the prefixes that the Federal Reserve gives out.
pub(super) fn aba(digits: &str) -> bool {
    let weighted: u32 = digits.bytes().zip([3, 7, 1].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let prefix = digits.get(..2).and_then(|prefix| prefix.parse::<u32>().ok());
    let known = prefix.is_some_and(|prefix| matches!(prefix, 1..=12 | 21..=32 | 61..=72 | 80));
    digits.len() == 9 && known && weighted.is_multiple_of(10)
}

/// International bank account numbers, in capitals and without spaces.
pub(super) fn iban(code: &str) -> bool {
    if !(15..=34).contains(&code.len()) || !code.is_ascii() {
        return false;
    }
    let (head, rest) = code.split_at(4);
    let remainder = rest.chars().chain(head.chars()).try_fold(0u32, |sum, c| {
        let value = c.to_digit(36)?;
        Some((sum * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    remainder == Some(1)
}

/// India's Aadhaar.
pub(super) fn verhoeff(digits: &str) -> bool {
    let check = digits.bytes().rev().enumerate().fold(0, |check, (n, digit)| {
        let moved = (0..n % 8).fold(digit - b'0', |digit, _| MOVED[usize::from(digit)]);
        turned(check, moved)
    });
    digits.len() == 12 && check == 0
}

/// A step of Verhoeff's permutation.
const MOVED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

/// Multiplication in the dihedral group of the pentagon.
const fn turned(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_pass_and_their_neighbours_fail() {
        assert!(luhn("4111111111111111") && luhn("2223003122003222") && luhn("378282246310005"));
        assert!(!luhn("4111111111111112"));
        assert!(aba("021000021") && aba("121000358"));
        assert!(!aba("021000022") && !aba("521000021"));
        assert!(iban("GB29NWBK60161331926819") && iban("DE89370400440532013000") && iban("ES9121000418450200051332"));
        assert!(!iban("GB28NWBK60161331926819") && !iban("GB29"));
        assert!(verhoeff("234123412346"));
        assert!(!verhoeff("234123412345") && !verhoeff("2363"));
    }

    #[test]
    fn verhoeff_sees_every_single_error_and_every_swap() {
        let good = "234123412346";
        for place in 0..12 {
            for digit in '0'..='9' {
                let mut bad: Vec<char> = good.chars().collect();
                bad[place] = digit;
                let bad: String = bad.into_iter().collect();
                assert!(bad == good || !verhoeff(&bad), "digit {place}");
            }
            let mut swapped: Vec<char> = good.chars().collect();
            swapped.swap(place, (place + 1) % 12);
            let swapped: String = swapped.into_iter().collect();
            assert!(place == 11 || swapped == good || !verhoeff(&swapped), "swap {place}");
        }
    }
}
