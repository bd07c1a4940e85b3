//! An SMTP server that does at one stage of one dialogue what the test says, and takes every mail else.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

/// Where in a dialogue something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    InData,
    AfterDot,
    Rset,
    Quit,
}

/// What happens there.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// The connection ends.
    Drop,
    /// The server falls silent, and tells the test.
    Hang,
    /// It answers so.
    Answer(&'static str),
    /// It thinks for a while, and answers as usual.
    Slow(Duration),
}

/// What happens, where, and at which time that the stage is reached: from 1; 0: each time.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) stage: Stage,
    pub(crate) deed: Deed,
    pub(crate) time: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) to: Vec<String>,
    pub(crate) data: Vec<u8>,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    reached: Vec<Stage>,
    taken: Vec<Taken>,
    connections: usize,
}

/// A running server; its threads end with the test.
pub(crate) struct Sink {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    hung: Receiver<Stage>,
}

impl Sink {
    pub(crate) fn start(faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            faults,
            ..State::default()
        }));
        let (tell, hung) = channel();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, tell) = (Arc::clone(&shared), tell.clone());
                state.lock().unwrap().connections += 1;
                thread::spawn(move || {
                    let mut dialogue = Dialogue::new(stream.unwrap(), state, tell);
                    let _ = dialogue.run();
                });
            }
        });
        Self { port, state, hung }
    }

    /// Every mail that it took responsibility for, in order.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.lock().unwrap().taken.clone()
    }

    /// How often each recipient got something.
    pub(crate) fn count(&self, recipient: &str) -> usize {
        let taken = self.taken();
        let all = taken.iter().flat_map(|mail| &mail.to);
        all.filter(|to| *to == recipient).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Waits until it fell silent.
    pub(crate) fn wait_until_hung(&self) -> Stage {
        self.hung.recv().unwrap()
    }
}

struct Dialogue {
    reader: BufReader<TcpStream>,
    state: Arc<Mutex<State>>,
    tell: Sender<Stage>,
    to: Vec<String>,
}

/// The connection is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Dialogue {
    fn new(stream: TcpStream, state: Arc<Mutex<State>>, tell: Sender<Stage>) -> Self {
        Self {
            reader: BufReader::new(stream),
            state,
            tell,
            to: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Over> {
        self.at(Stage::Connect, "220 sink")?;
        loop {
            let line = self.line()?;
            let verb = line.split([' ', ':']).next().unwrap().to_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let offers = self.offers();
                    self.at(Stage::Ehlo, &offers)?;
                }
                "STARTTLS" => self.at(Stage::StartTls, "454 no")?,
                "AUTH" => self.at(Stage::Auth, "235 ok")?,
                "MAIL" => {
                    self.to.clear();
                    self.at(Stage::Mail, "250 ok")?;
                }
                "RCPT" => {
                    let address = line.split(['<', '>']).nth(1).unwrap().to_owned();
                    if self.at_answers(Stage::Rcpt, "250 ok")? {
                        self.to.push(address);
                    }
                }
                "DATA" => {
                    if self.at_answers(Stage::Data, "354 go on")? {
                        self.content()?;
                    }
                }
                "RSET" => self.at(Stage::Rset, "250 ok")?,
                "QUIT" => {
                    self.at(Stage::Quit, "221 bye")?;
                    return Ok(());
                }
                other => panic!("{other}"),
            }
        }
    }

    fn offers(&self) -> String {
        let state = self.state.lock().unwrap();
        let tls = state.faults.iter().any(|f| f.stage == Stage::StartTls);
        let tls = if tls { "250-STARTTLS\r\n" } else { "" };
        format!("250-sink\r\n250-8BITMIME\r\n{tls}250 AUTH PLAIN")
    }

    fn content(&mut self) -> Result<(), Over> {
        let mut data = Vec::new();
        self.reader.read_until(b'\n', &mut data)?;
        self.at(Stage::InData, "")?;
        loop {
            let mut line = Vec::new();
            self.reader.read_until(b'\n', &mut line)?;
            match line.as_slice() {
                [] => return Err(Over),
                b".\r\n" => break,
                // RFC 5321, 4.5.2: a dot more than the line has
                [b'.', rest @ ..] => data.extend_from_slice(rest),
                line => data.extend_from_slice(line),
            }
        }
        let is_refused = matches!(self.fault(Stage::AfterDot, false), Some(Deed::Answer(_)));
        if !is_refused {
            let to = self.to.clone();
            self.state.lock().unwrap().taken.push(Taken { to, data });
        }
        self.at(Stage::AfterDot, "250 taken")
    }

    /// Answers, unless the test has something else in mind.
    fn at(&mut self, stage: Stage, answer: &str) -> Result<(), Over> {
        self.at_answers(stage, answer).map(|_| ())
    }

    /// The same; whether the answer was the usual one.
    fn at_answers(&mut self, stage: Stage, answer: &str) -> Result<bool, Over> {
        match self.fault(stage, true) {
            None if answer.is_empty() => Ok(true),
            None => {
                let stream = self.reader.get_mut();
                stream.write_all(format!("{answer}\r\n").as_bytes())?;
                Ok(true)
            }
            Some(Deed::Answer(other)) => {
                let stream = self.reader.get_mut();
                stream.write_all(format!("{other}\r\n").as_bytes())?;
                Ok(false)
            }
            Some(Deed::Slow(time)) => {
                thread::sleep(time);
                if !answer.is_empty() {
                    let stream = self.reader.get_mut();
                    stream.write_all(format!("{answer}\r\n").as_bytes())?;
                }
                Ok(true)
            }
            Some(Deed::Drop) => Err(Over),
            Some(Deed::Hang) => {
                let _ = self.tell.send(stage);
                // Until the client is gone
                let mut rest = Vec::new();
                let _ = self.reader.read_to_end(&mut rest);
                Err(Over)
            }
        }
    }

    fn fault(&self, stage: Stage, count: bool) -> Option<Deed> {
        let mut state = self.state.lock().unwrap();
        state.reached.push(stage);
        let time = state.reached.iter().filter(|s| **s == stage).count();
        if !count {
            state.reached.pop();
        }
        let mut faults = state.faults.iter();
        let fault = faults.find(|f| f.stage == stage && (f.time == 0 || f.time == time));
        fault.map(|f| f.deed.clone())
    }

    fn line(&mut self) -> Result<String, Over> {
        let mut line = String::new();
        match self.reader.read_line(&mut line)? {
            0 => Err(Over),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
