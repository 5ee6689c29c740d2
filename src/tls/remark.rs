//! What there is to say about a listener's `tls`.

use std::fmt;

/// Something about a listener's `tls`: a reason to refuse it, or a warning. Displayed with its keys:
/// `tls.certificates[0].key: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The keys below `tls` that lead to the value that it is about; a list's values by their index, from 0.
    pub at: Vec<String>,
    /// A sentence for people.
    pub message: String,
}

impl Remark {
    pub(crate) fn new<const N: usize>(at: [&str; N], message: impl Into<String>) -> Self {
        Self { at: at.map(str::to_owned).into(), message: message.into() }
    }

    /// The same, seen from further up.
    pub(super) fn below(self, at: &[&str]) -> Self {
        let at = at.iter().map(|&key| key.to_owned()).chain(self.at).collect();
        Self { at, ..self }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tls")?;
        for key in &self.at {
            match key.parse::<usize>() {
                Ok(index) => write!(f, "[{index}]")?,
                Err(_) => write!(f, ".{key}")?,
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// All of them for a line of a log; `None` for none.
pub(super) fn one_line(remarks: &[Remark]) -> Option<String> {
    let texts: Vec<String> = remarks.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}
