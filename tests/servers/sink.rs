//! A mail server on loopback that takes everything, and counts what it took.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Messages by recipient and subject.
pub(crate) type Taken = Arc<Mutex<BTreeMap<(String, String), usize>>>;

/// Starts it; its port, and what it takes.
pub(crate) fn start() -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Taken::default();
    let all = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let taken = Arc::clone(&all);
            // A client that is killed breaks off in the middle
            thread::spawn(move || talk(&stream, &taken));
        }
    });
    (port, taken)
}

fn talk(stream: &TcpStream, taken: &Taken) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    writer.write_all(b"220 sink\r\n").ok()?;
    let mut recipients = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let upper = line.to_uppercase();
        if upper.starts_with("RCPT TO:<") {
            recipients.push(line[9..].split('>').next()?.to_owned());
        } else if upper.starts_with("DATA") {
            writer.write_all(b"354 go\r\n").ok()?;
            let subject = data(&mut reader)?;
            // It counts as taken from here on, whether or not the client hears it
            let mut taken = taken.lock().unwrap();
            for recipient in recipients.drain(..) {
                *taken.entry((recipient, subject.clone())).or_default() += 1;
            }
        } else if upper.starts_with("QUIT") {
            return writer.write_all(b"221 bye\r\n").ok();
        }
        writer.write_all(b"250 ok\r\n").ok()?;
    }
}

/// Reads a message to its end; its subject.
fn data(reader: &mut impl BufRead) -> Option<String> {
    let mut subject = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(text) = line.strip_prefix("Subject: ") {
            text.trim_end().clone_into(&mut subject);
        }
        if line == ".\r\n" {
            return Some(subject);
        }
    }
}
