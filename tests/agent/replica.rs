//! A small inference server: this test program, started anew as a replica.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

/// A process that the server has started.
static WORKER: OnceLock<Child> = OnceLock::new();

/// The command that runs the server below.
pub fn command() -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    [&program, "--exact", "replica::serves_when_it_is_started_as_a_replica", "--nocapture"]
        .map(str::to_owned)
        .to_vec()
}

/// Not a test when run as one: the server, when the agent has started this program.
#[test]
fn serves_when_it_is_started_as_a_replica() {
    let Ok(port) = std::env::var("ENGINE_PORT") else { return };
    assert_eq!(port, "own", "settings of the engine arrive");
    let variable = |name| std::env::var(name).unwrap_or_default();
    if !variable("FAIL_WITH").is_empty() {
        eprintln!("{}", variable("FAIL_WITH"));
        std::process::exit(3);
    }
    if !variable("WORKER").is_empty() {
        let ignore = "trap '' TERM; while :; do sleep 0.1; done";
        let worker = Command::new("/bin/sh").args(["-c", ignore]).spawn().unwrap();
        assert!(WORKER.set(worker).is_ok());
    }
    assert!(std::fs::exists(variable("MODEL_PATH")).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", variable("PORT").parse().unwrap())).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line);
        }
        let target = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let mut sent = Vec::new();
        let length = header(&head, "content-length").parse().unwrap_or(0);
        reader.by_ref().take(length).read_to_end(&mut sent)?;
        if head[0].starts_with("POST ") {
            let (kind, sent) = (header(&head, "content-type"), String::from_utf8(sent).unwrap());
            write_down(&format!("POST {target} {kind} {sent}\n"));
        }
        let sick = std::env::var("SICK_FILE").is_ok_and(|path| std::fs::exists(path).unwrap());
        if let Some(path) = target.strip_prefix("/hold") {
            // Answers when the file appears: a request that stays in flight for as long as a test wants.
            while !std::fs::exists(path).unwrap() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let completions = std::env::var("COMPLETIONS").unwrap_or_default();
        let refused = target == "/v1/completions" && completions == "refused";
        if target == "/v1/completions" && completions == "crash" {
            std::process::exit(9);
        }
        let status = match target.as_str() {
            "/health" if sick => "503 Service Unavailable",
            "/v1/completions" if refused => "500 Internal Server Error",
            _ => "200 OK",
        };
        let body = format!(
            "{} {}",
            std::env::var("SLUICE_REPLICA").unwrap(),
            std::env::var("SLUICE_VERSION").unwrap()
        );
        let body = if target == "/worker" { WORKER.get().unwrap().id().to_string() } else { body };
        let body = if refused { "out of\nmemory".to_owned() } else { body };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// A header of a request; empty if it has none of that name.
fn header(head: &[String], name: &str) -> String {
    let mut lines = head.iter().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// Tells the test of a request, before it is answered.
fn write_down(line: &str) {
    if let Ok(path) = std::env::var("SEEN_FILE") {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}
