//! A real Prometheus, from the distribution's packages, that scrapes a world's gateway.

use std::fs::{File, create_dir_all, remove_dir_all, rename, write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patience::eventually;
use super::processes;
use super::programs::PROVIDER;
use super::terraform::Running;
use super::world::World;

/// For the agent's port: whoever scrapes shows it.
const TOKEN: &str = "scrape-scrape-scrape-scrape";

/// A server that scrapes. Ends when it is dropped, before its world does.
pub struct Prometheus {
    pub url: String,
    server: Running,
}

impl Prometheus {
    /// Starts the world's agent with a TCP port, and a server that scrapes its gateway there.
    pub fn scraping(world: &World) -> Self {
        let agent = start_agent(world);
        let token = world.path("token");
        let (port, folder) = (free_port(), world.path("prometheus"));
        create_dir_all(&folder).unwrap();
        let settings = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n- job_name: sluice\n  \
             authorization: {{ credentials_file: {} }}\n  static_configs: [{{ targets: ['127.0.0.1:{agent}'] }}]\n",
            token.display()
        );
        write(folder.join("prometheus.yml"), settings).unwrap();
        let mut command = Command::new(program());
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.env_clear().current_dir(&folder);
        let server = Running::start(&mut command, &folder.join("server"));
        let prometheus = Self { url: format!("http://127.0.0.1:{port}"), server };
        eventually("Prometheus has scraped", || prometheus.value(world, "sum(up)").as_deref() == Some("1"));
        prometheus
    }

    /// The value of a query now, if it gives exactly one.
    pub fn value(&self, world: &World, query: &str) -> Option<String> {
        let url = format!("{}/api/v1/query?query={query}", self.url);
        let answer = world.block_on(async {
            let client = sluice::web::local_client().build().unwrap();
            client.get(url).send().await.ok()?.bytes().await.ok()
        })?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        processes::kill(self.server.pid);
    }
}

/// An agent on the world's folder, as the provider would start it, that also listens on TCP.
fn start_agent(world: &World) -> u16 {
    let (port, token) = (free_port(), world.path("token"));
    write(&token, TOKEN).unwrap();
    let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&token, only_mine).unwrap();
    let mut command = Command::new(PROVIDER);
    command.args(["agent", "run", "--detached", "--device-slots", "8", "--device-type", "cpu"]);
    command.arg("--data-dir").arg(world.data_dir()).arg("--token-file").arg(&token);
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    let _detached = Running::start(&mut command, &world.path("agent-run"));
    eventually("the agent answers", || world.block_on(world.cloud().agent()).is_ok());
    port
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The server's program. Unpacked into the tests' folder by whichever test comes first; nothing is installed.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
    create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    let (ready, draft) = (root.join("ready"), root.join("draft"));
    if !ready.exists() {
        // What a run that was killed has left.
        let _nothing = remove_dir_all(&draft);
        create_dir_all(&draft).unwrap();
        download(&draft);
        unpack(&draft);
        rename(&draft, &ready).unwrap();
    }
    ready.join("usr/bin/prometheus")
}

/// Downloads the package with the machine's lists of packages, or with lists of its own where the machine has none.
fn download(folder: &Path) {
    let fetch = |options: &[String], words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).args(["-qq", "-o", "Acquire::Retries=3"]).args(options).args(words);
        command.output().unwrap()
    };
    if fetch(&[], &["download", "prometheus"]).status.success() {
        return;
    }
    let lists = ["State::Lists", "Cache"].map(|name| {
        let own = folder.join(name.replace("::", "-"));
        create_dir_all(own.join("partial")).unwrap();
        create_dir_all(own.join("archives/partial")).unwrap();
        format!("Dir::{name}={}", own.display())
    });
    let options: Vec<String> = lists.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect();
    for words in [&["update"][..], &["download", "prometheus"]] {
        let output = fetch(&options, words);
        assert!(output.status.success(), "apt-get {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn unpack(folder: &Path) {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let package = files.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let output = Command::new("dpkg").arg("-x").arg(package.unwrap()).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
