//! A real Redis server for one test, on a Unix socket of its own.

use std::process::{Child, Command, Stdio};

use super::within;

/// A server that lives until it is dropped. Its data goes with it.
pub struct Redis {
    child: Child,
    folder: tempfile::TempDir,
}

impl Redis {
    /// One that answers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let redis = Self { child: spawn(&folder), folder };
        redis.answers().await;
        redis
    }

    /// As a configuration has it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("redis.sock").display())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server ended");
        self.child.wait().expect("its end");
    }

    /// Another one in the place of the killed one, which knows nothing of what that knew.
    pub async fn back(&mut self) {
        self.child = spawn(&self.folder);
        self.answers().await;
    }

    /// What it answers to a command.
    pub async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut connection).await
    }

    async fn answers(&self) {
        let answered = async {
            while self.ask::<String>(&["PING"]).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        within("the Redis server to answer", answered).await;
    }
}

fn spawn(folder: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server, which `make setup` installs")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
