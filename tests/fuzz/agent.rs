//! The control API of a real agent: whatever is asked, it answers, blames the caller, and lives.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Shape, Target, everything, is_told_well, keep};

const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-sluice");
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

struct Agent {
    folder: tempfile::TempDir,
    process: Child,
}

impl Agent {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("agent.log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["agent", "run", "--device-slots", "1", "--device-type", "toy", "--data-dir"]);
        command.arg(folder.path().join("data")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let agent = Self { process: command.spawn().unwrap(), folder };
        let is_up = || agent.ask("GET", "/v1/agent", b"", "").is_some_and(|(status, _)| status == 200);
        assert!(within_patience(is_up), "the agent does not come up");
        agent
    }

    /// Status and body of an answer; nothing when the connection ends without one.
    fn ask(&self, method: &str, path: &str, body: &[u8], headers: &str) -> Option<(u16, Vec<u8>)> {
        let mut stream = UnixStream::connect(self.folder.path().join("data/agent.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        // The agent may have refused before it has read everything.
        let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        let mut answer = Vec::new();
        let _read = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.as_bytes().to_vec());
        Some((status, body.unwrap_or_default()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended = self.ask("POST", "/v1/shutdown", br#"{"stop_replicas":true}"#, "");
        within_patience(|| !self.process.try_wait().is_ok_and(|status| status.is_none()));
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Waits for a level, with a bound. Whether it was reached.
fn within_patience(mut level: impl FnMut() -> bool) -> bool {
    const LOOK: Duration = Duration::from_millis(10);
    (0..PATIENCE.as_millis() / LOOK.as_millis()).any(|_| {
        let is_reached = level();
        if !is_reached {
            std::thread::sleep(LOOK);
        }
        is_reached
    })
}

/// One call: method, path, fencing token and body.
fn seeds(model: &Path) -> Vec<Vec<u8>> {
    let digest = format!("sha256:{:x}", Sha256::digest(std::fs::read(model).unwrap()));
    let version = json!({ "version": {
        "number": 0,
        "spec": { "model": { "source": model }, "container": { "command": ["/bin/true", "$(PORT)"] },
                  "accelerator": { "type": "toy", "count": 1 }, "scaling": { "min_replicas": 1 },
                  "env": { "A": "b" }, "engine": { "k": "v" }, "health": { "path": "/health" } },
        "pins": { "model_digest": digest, "model_bytes": 7, "program": "/bin/true" },
    } });
    let call = |method: &str, path: &str, body: Value| {
        json!({ "method": method, "path": path, "fence": "1", "body": body }).to_string().into_bytes()
    };
    let chat = "/v1/endpoints/chat";
    let stop = json!({ "drain_timeout": "1s", "unroute_delay": "10ms" });
    vec![
        call("GET", "/v1/agent", Value::Null),
        call("GET", "/v1/endpoints", Value::Null),
        call("PUT", chat, json!({ "port": null, "token_required": true, "labels": { "a": "b" } })),
        call("GET", chat, Value::Null),
        call("GET", &format!("{chat}/figures"), Value::Null),
        call("PUT", &format!("{chat}/versions/v0"), version),
        call("GET", &format!("{chat}/versions/v0"), Value::Null),
        call("PUT", &format!("{chat}/secrets"), json!({ "trigger": "1", "values": { "KEY": "hush" } })),
        call("POST", &format!("{chat}/tokens"), json!({ "life": "10m" })),
        call("PUT", &format!("{chat}/weights"), json!({ "weights": { "0": 1 } })),
        call("PUT", &format!("{chat}/replicas/chat-r1-0"), json!({ "version": 0 })),
        call("POST", &format!("{chat}/replicas/chat-r1-0/stop"), stop.clone()),
        call("GET", "/v1/endpoints/..%2f..%2fetc", Value::Null),
        call("PUT", "/v1/endpoints/chat/replicas/..%2f..%2fx", json!({ "version": 0 })),
        call("DELETE", chat, stop),
    ]
}

#[test]
fn calls_of_the_agent() {
    let agent = Agent::start();
    let model = agent.folder.path().join("model.bin");
    std::fs::write(&model, "weights").unwrap();
    let target = Target { name: "calls_of_the_agent", shape: Shape::Json, rounds: 700, seeds: seeds(&model) };
    for input in everything(&target) {
        let Ok(call) = serde_json::from_slice::<Value>(&input) else { continue };
        let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or("x").to_owned();
        let path = text("path");
        let on_the_wire = |text: &str| text.replace(|c: char| c.is_ascii_control() || c == ' ', "%20");
        // Ending the agent is not hostile, only final.
        if path.contains("shutdown") {
            continue;
        }
        let body = call.get("body").map(Value::to_string).unwrap_or_default();
        let fence = format!("x-sluice-fence: {}\r\n", on_the_wire(&text("fence")));
        let answer = agent.ask(&on_the_wire(&text("method")), &on_the_wire(&path), body.as_bytes(), &fence);
        if let Err(why) = judge(answer) {
            keep(target.name, &input);
            panic!("{why}: {call}");
        }
    }
    let (status, _) = agent.ask("GET", "/v1/endpoints", b"", "").unwrap();
    assert_eq!(status, 200, "the agent serves on");
    let outside: Vec<_> =
        std::fs::read_dir(agent.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 3, "no path led out of its folder: {outside:?}");
}

/// An answer is the caller's fault or a success, and a refusal has a reason. hyper itself refuses what is no HTTP.
fn judge(answer: Option<(u16, Vec<u8>)>) -> Result<(), String> {
    let (status, body) = answer.ok_or("no answer")?;
    match status {
        200..=299 => Ok(()),
        400..=499 => {
            if let Ok(refusal) = serde_json::from_slice::<Value>(&body) {
                is_told_well(refusal["message"].as_str().ok_or("a refusal without a message")?);
            }
            Ok(())
        }
        _ => Err(format!("status {status}: {}", String::from_utf8_lossy(&body))),
    }
}
