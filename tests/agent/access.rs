//! Who may use an agent, and what it refuses to start on.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use sluice::cloud::CloudErrorKind;
use sluice::cloud::local::{LocalCloud, LocalSettings};

use super::machine::{Machine, PROGRAM, cloud, eventually};

const NOBODY: u32 = 65534;

fn run_agent(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(["agent", "run"]).args(arguments).output().unwrap()
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can hand files to another user");
    }
    root
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = run_agent(&["--data-dir", file.path().join("below").to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("failed to use") && error.contains("Not a directory"), "{error}");
}

#[tokio::test]
async fn a_folder_or_socket_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let machine = Machine::without_agent();
    let data_dir = machine.data_dir();
    std::fs::create_dir(&data_dir).unwrap();
    std::os::unix::fs::chown(&data_dir, Some(NOBODY), None).unwrap();
    let output = run_agent(&["--data-dir", data_dir.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("belongs to user 65534, not to user 0"), "{error}");
    std::os::unix::fs::chown(&data_dir, Some(0), None).unwrap();
    let socket = data_dir.join("agent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(NOBODY), None).unwrap();
    let error = machine.cloud.agent().await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("belongs to user 65534"), "{error}");
    let output = run_agent(&["--data-dir", data_dir.to_str().unwrap()]);
    assert!(!output.status.success(), "the agent does not replace it either");
}

#[tokio::test]
async fn a_caller_of_another_user_is_turned_away() {
    let setpriv = Command::new("setpriv").arg("--version").output();
    if !is_root() || setpriv.is_err() {
        eprintln!("skipped: needs root and setpriv");
        return;
    }
    let machine = Machine::start().await;
    let socket = machine.data_dir().join("agent.sock");
    // Even where the modes are opened by mistake.
    for (path, mode) in [(machine.folder.path(), 0o755), (&machine.data_dir(), 0o755), (&socket, 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--clear-groups",
            program.to_str().unwrap(),
            "--exact",
            "access::calls_a_socket",
            "--nocapture",
        ])
        .env("CALL_SOCKET", &socket)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !said.contains("answer:") {
        eprintln!(
            "skipped: the other user cannot run this program: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    assert!(said.contains("answer: none"), "{said}");
}

/// Not a test when run as one: a caller under another user id.
#[test]
fn calls_a_socket() {
    use std::io::{Read, Write};
    let Ok(socket) = std::env::var("CALL_SOCKET") else { return };
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let mut answer = String::new();
    let _closed = stream.write_all(b"GET /v1/agent HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let _closed = stream.read_to_string(&mut answer);
    println!("answer: {}", if answer.is_empty() { "none" } else { &answer });
}

#[tokio::test]
async fn a_tcp_port_needs_a_token_and_the_right_one() {
    let mut machine = Machine::without_agent();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (address, token_file) = (format!("127.0.0.1:{port}"), machine.path("token"));
    let data_dir = machine.data_dir().to_str().unwrap().to_owned();
    assert!(!run_agent(&["--data-dir", &data_dir, "--listen", &address]).status.success());
    for (token, mode, why) in
        [("short", 0o600, "shorter than 16"), ("0123456789abcdef", 0o644, "open to other users")]
    {
        std::fs::write(&token_file, token).unwrap();
        std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = run_agent(&["--data-dir", &data_dir, "--listen", &address, "--token-file", &token_file]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
    std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&token_file, Some(NOBODY), None).unwrap();
        let output = run_agent(&["--data-dir", &data_dir, "--listen", &address, "--token-file", &token_file]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("user 65534, who knows the token"), "{error}");
        std::os::unix::fs::chown(&token_file, Some(0), None).unwrap();
    }
    machine.start_agent(&["--listen", &address, "--token-file", &token_file]);
    machine.until_up().await;
    let over_tcp = |token: &str| {
        let (address, token) = (Some(address.clone()), Some(token.to_owned()));
        LocalCloud::connect(LocalSettings { address, token, ..LocalSettings::default() }).unwrap()
    };
    let pid = machine.cloud.agent().await.unwrap().pid;
    assert_eq!(over_tcp("0123456789abcdef").agent().await.unwrap().pid, pid);
    let error = over_tcp("0123456789abcdeX").agent().await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Denied, "{error}");
    let answer = reqwest::get(format!("http://{address}/v1/agent")).await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn a_second_agent_on_the_same_folder_is_refused() {
    let machine = Machine::start().await;
    let output = run_agent(&["--data-dir", machine.data_dir().to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = machine.cloud.agent().await.unwrap().pid;
    assert!(!output.status.success() && error.contains(&format!("another agent (process {pid})")), "{error}");
}

#[tokio::test]
async fn without_an_agent_the_error_says_how_to_get_one() {
    let machine = Machine::without_agent();
    let error = cloud(&machine.data_dir(), false).agent().await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Unreachable);
    for words in ["agent.sock", "terraform-provider-sluice agent run", "autostart = true"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let mut machine = Machine::start().await;
    machine.kill_agent();
    assert!(machine.data_dir().join("agent.sock").exists());
    machine.start_agent(&[]);
    machine.until_up().await;
    eventually("it answers", || async { machine.cloud.agent().await.ok() }).await;
}

/// A replica that is slow to listen, on a port that somebody else takes meanwhile and answers well on.
#[tokio::test]
async fn a_port_that_another_user_has_taken_gets_no_requests() {
    let program = std::env::current_exe().unwrap();
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--clear-groups"]).arg(&program);
        command
    };
    if !is_root() || !as_nobody().arg("--list").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: needs root, setpriv, and a program that the other user can run");
        return;
    }
    let machine = Machine::start().await;
    let never_listens = serde_json::json!({ "container": { "command": ["/bin/sleep", "1000"] } });
    machine.publish(0, &never_listens).await;
    machine.start_replica("r0", 0).await.unwrap();
    let port = eventually("the replica has a port", || async {
        let replica = machine.replica("r0").await?;
        replica.port.filter(|_| replica.pid.is_some())
    })
    .await;
    let mut command = as_nobody();
    command.args(["--exact", "access::answers_on_a_port"]).env("ANSWER_ON_PORT", port.to_string());
    let _stranger = Stranger(command.spawn().unwrap());
    eventually("the stranger is found out", || async {
        let reason = machine.replica("r0").await?.replica.reason?;
        reason.contains("of another user listens").then_some(())
    })
    .await;
    let routed = machine.get("/").await;
    assert!(routed.is_err(), "nobody is routed to a stranger: {routed:?}");
}

/// A process that ends with its test.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Not a test when run as one: a server under another user id.
#[test]
fn answers_on_a_port() {
    use std::io::{Read, Write};
    let Some(port) = std::env::var("ANSWER_ON_PORT").ok().and_then(|port| port.parse::<u16>().ok()) else {
        return;
    };
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _head = stream.read(&mut [0; 1024]);
        let _answered = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}
