//! What is written down of finished exchanges. Takes a [`Record`], knows neither the proxy that made it nor the file
//! that asked for it, and changes nothing.

mod access_log;
mod format;
mod record;
mod text;

pub use access_log::{AccessLog, Target};
pub use format::Format;
pub use record::Record;
