//! The README's filter, compiled and used.

#[tokio::test]
async fn the_filter_in_the_readme_works() {
    let registry = onedoor::builtins().with::<Works>();
    let yaml = "routes: {a: {path: /, respond: {}, filters: {works: {until: \"18:00\"}}}}";
    let door = crate::support::Gateway::start_with(yaml, registry).await;
    let response = door.get("/").send().await;
    assert_eq!(response.status, 503);
    assert!(response.text().contains("back at 18:00"), "{}", response.text());
}

// From the README:
use onedoor::filter::{Configure, Env, Filter, Flow, Problems, Reply, Request, Result, async_trait};

struct Works(String);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    until: String,
}

#[async_trait]
impl Filter for Works {
    async fn request(&self, _: &mut Request<'_>) -> Result<Flow> {
        Ok(Reply::problem(503, format!("back at {}", self.0)).into())
    }
}

impl Configure for Works {
    const KIND: &'static str = "works";
    type Config = Settings;
    fn configure(settings: Settings, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self(settings.until))
    }
}
