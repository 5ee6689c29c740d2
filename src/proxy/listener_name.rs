//! What a listener is called, which a reload may change under its open connections.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// What a listener is called.
///
/// The name decides whom its connections believe (`trusted_proxies`), so it is bound to the configuration: an exchange
/// never sees a new name with an old file, or the other way round.
#[derive(Debug)]
pub struct ListenerName(ArcSwap<Names>);

#[derive(Debug)]
struct Names {
    before: Arc<str>,
    since: u64,
    now: Arc<str>,
}

impl ListenerName {
    /// A name for now.
    pub fn new(name: &str) -> Self {
        let name: Arc<str> = Arc::from(name);
        Self(ArcSwap::from_pointee(Names { before: Arc::clone(&name), since: 0, now: name }))
    }

    /// The name in the configuration of this generation; of one before the latest change but one, the name before the
    /// latest.
    pub fn at(&self, generation: u64) -> Arc<str> {
        let names = self.0.load();
        Arc::clone(if generation < names.since { &names.before } else { &names.now })
    }

    /// From this generation on it is called so.
    pub fn rename(&self, name: &str, since: u64) {
        let before = Arc::clone(&self.0.load().now);
        self.0.store(Arc::new(Names { before, since, now: Arc::from(name) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_sees_the_name_of_its_own_generation() {
        let name = ListenerName::new("web");
        name.rename("door", 2);
        assert_eq!((&*name.at(1), &*name.at(2), &*name.at(3)), ("web", "door", "door"));
    }
}
