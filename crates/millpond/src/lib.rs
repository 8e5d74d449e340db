//! tmp
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(dead_code)]
mod client;
mod config;
mod credentials;
mod endpoint;
mod app {
    #![allow(missing_docs)]
    use crate::client::Client;
    use crate::config::Config;
    pub struct Settings {
        pub data: std::path::PathBuf,
        pub listen: String,
        pub config: Config,
        pub announce: bool,
    }
    pub struct App;
    impl App {
        pub async fn start(_: Settings) -> anyhow::Result<Self> {
            anyhow::bail!("x")
        }
        pub fn client(&self) -> anyhow::Result<Client> {
            anyhow::bail!("x")
        }
        pub async fn flows(&self) -> anyhow::Result<Vec<crate::config::Flow>> {
            anyhow::bail!("x")
        }
        pub fn endpoint(&self) -> &crate::endpoint::Endpoint {
            unreachable!("no lake yet")
        }
        pub async fn stop(self) {}
    }
}
pub mod cli;
