//! A server that answers everything with 200: this executable, started as a replica.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// The argument that makes a replica of this executable.
pub const SERVES: &str = "--serve-as-a-replica";

/// The command that starts one.
pub fn command() -> [String; 2] {
    [std::env::current_exe().unwrap().to_str().unwrap().to_owned(), SERVES.to_owned()]
}

/// Serves on the port that the agent has chosen, until it is told to end.
pub fn serve() -> ! {
    let port = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        std::thread::spawn(move || answer(stream));
    }
    unreachable!("a listener has no end")
}

/// Answers requests without a body for as long as the client stays.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    for line in reader.lines() {
        if line?.is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}
