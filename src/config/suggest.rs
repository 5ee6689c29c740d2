//! "Did you mean …?": the word that a misspelt one was meant to be.

/// The candidate that `word` most likely was meant to be, or none if nothing is really close: a wild guess sends its
/// reader the wrong way. Differences of case and of `-` against `_` count as nothing; beyond them a word of up to two
/// letters must be exact, one of up to five may have one slip (a letter more, less, other, or two swapped), of up to
/// eight two, longer three. A word that was cut short (`addr`) or runs on (`pathname`) is close too, if at least three
/// quarters of its letters, or four of them, agree from the start.
///
/// Among equally close candidates the first wins.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Somebody's essay in a key's place is no slip of a key, and comparing it would cost its length squared.
    if word.len() > LONGEST {
        return None;
    }
    let word = folded(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(distance) = distance(&word, &folded(candidate)) else { continue };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

const LONGEST: usize = 100;

/// How far apart two folded words are; `None`: too far.
fn distance(word: &str, candidate: &str) -> Option<usize> {
    let (length, other) = (word.chars().count(), candidate.chars().count());
    let allowed = match length.max(other) {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    let slips = strsim::osa_distance(word, candidate);
    // With as many slips as half of the letters, two words have little in common.
    if slips <= allowed && (slips == 0 || slips * 2 < length.max(other)) {
        return Some(slips);
    }
    let (short, long) = if length < other { (word, candidate) } else { (candidate, word) };
    let shared = length.min(other);
    let begins = shared >= 4 || (shared >= 3 && shared * 4 >= length.max(other) * 3);
    (begins && long.starts_with(short)).then_some(4)
}

fn folded(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 8] = ["path", "hosts", "methods", "to", "timeout", "rewrite", "address", "trusted_proxies"];

    #[test]
    fn a_slip_is_mended() {
        for (slip, meant) in [
            ("pth", "path"),
            ("paht", "path"),
            ("host", "hosts"),
            ("metods", "methods"),
            ("timeot", "timeout"),
            ("adress", "address"),
            ("addr", "address"),
            ("trusted_proxy", "trusted_proxies"),
            ("trustedproxies", "trusted_proxies"),
        ] {
            assert_eq!(did_you_mean(slip, KEYS), Some(meant), "{slip}");
        }
    }

    #[test]
    fn case_and_dashes_count_as_nothing() {
        assert_eq!(did_you_mean("TO", KEYS), Some("to"));
        assert_eq!(did_you_mean("Trusted-Proxies", KEYS), Some("trusted_proxies"));
    }

    #[test]
    fn nothing_is_guessed_wildly() {
        for word in ["", "x", "ot", "upstream", "body", "zz", "tls", "ab", &"path".repeat(1000)] {
            assert_eq!(did_you_mean(word, KEYS), None, "{word}");
        }
    }

    #[test]
    fn the_closest_wins() {
        assert_eq!(did_you_mean("pats", ["paths", "pat", "path"]), Some("paths"));
        assert_eq!(did_you_mean("path", ["paths", "path"]), Some("path"));
    }
}
