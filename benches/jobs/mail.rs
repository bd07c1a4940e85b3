//! One report to many recipients over SMTP: what a further message costs, ledger and archive included.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use clap::Args;

use super::{Result, child::Cost, machine, project::Project};

/// The messages.
#[derive(Debug, Args)]
pub(crate) struct MailArgs {
    /// Recipients of the long run; the short one has ten
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(20..))]
    recipients: u16,
    /// Runs of each; the least counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
}

/// Recipients of the short run: start, request, rendering and login are the same as in the long one.
const FEW: u16 = 10;

/// What a rendered line of the template takes, times this: a message of about 112 KB.
const LINES: usize = 1200;

/// Runs a few and many, and prints what one more costs.
pub(crate) fn run(args: &MailArgs, binary: &Path) -> Result<()> {
    let sink = Sink::start()?;
    println!("{}\n", machine::remark());
    let few = least(args, binary, &sink, FEW)?;
    let before = sink.bytes();
    let many = least(args, binary, &sink, args.recipients)?;
    let more = f64::from(args.recipients - FEW);
    let sent = f64::from(args.recipients) * f64::from(args.runs);
    let size = (sink.bytes() - before) as f64 / sent / 1000.0;
    let cpu = (many.cpu_secs - few.cpu_secs) / more * 1000.0;
    let rate = more / (many.wall_secs - few.wall_secs);
    println!(
        "| recipients | KB a message | CPU ms a send | goal | messages a second | goal | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| {} | {size:.0} | {cpu:.2} | 1.50 | {rate:.0} | 200 | {:.0} |",
        args.recipients, many.peak_mib
    );
    Ok(())
}

/// The cheapest of the runs, in CPU and in time.
fn least(args: &MailArgs, binary: &Path, sink: &Sink, recipients: u16) -> Result<Cost> {
    let mut best: Option<Cost> = None;
    for _ in 0..args.runs {
        let project = Project::new(binary, &job(recipients))?
            .with_file("databuddy-jobs.yaml", &settings(sink.port))?
            .with_file("templates/big/report.yaml", "queries: { summary: {} }\n")?
            .with_file("templates/big/subject.txt", "{{ website.name }}: a week\n")?
            .with_file("templates/big/body.txt", "{{ website.name }}\n")?
            .with_file("templates/big/body.html", &html())?;
        let before = sink.messages();
        let (cost, said) = project.run(&["run", "job", "--sandbox"])?;
        let taken = sink.messages() - before;
        if taken != usize::from(recipients) {
            return Err(format!("{taken} of {recipients} messages came: {said}").into());
        }
        best = Some(match best {
            None => cost,
            Some(best) => Cost {
                cpu_secs: best.cpu_secs.min(cost.cpu_secs),
                wall_secs: best.wall_secs.min(cost.wall_secs),
                ..cost
            },
        });
    }
    Ok(best.expect("at least one run"))
}

fn job(recipients: u16) -> String {
    let to: Vec<String> = (1..=recipients)
        .map(|n| format!("r{n}@example.org"))
        .collect();
    format!(
        "preset: last_iso_week\nwebsites: [web_acme_docs]\nqueries: [summary]\nreports: [{{ template: big, to: [{}] }}]\n",
        to.join(", ")
    )
}

fn settings(port: u16) -> String {
    format!("mail: {{ url: 'smtp://127.0.0.1:{port}', from: 'reports@example.org' }}\n")
}

fn html() -> String {
    let line =
        "<tr><td style=\"font:13px Arial\">/a/path/of/a/page – größer</td><td>1,219</td></tr>\n";
    format!(
        "<html><body><table>{}</table></body></html>\n",
        line.repeat(LINES)
    )
}

/// A server that takes everything.
struct Sink {
    port: u16,
    messages: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

impl Sink {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Self {
            port: listener.local_addr()?.port(),
            messages: Arc::default(),
            bytes: Arc::default(),
        };
        let (messages, bytes) = (Arc::clone(&sink.messages), Arc::clone(&sink.bytes));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (messages, bytes) = (Arc::clone(&messages), Arc::clone(&bytes));
                thread::spawn(move || dialogue(stream, &messages, &bytes));
            }
        });
        Ok(sink)
    }

    fn messages(&self) -> usize {
        self.messages.load(Ordering::SeqCst)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }
}

fn dialogue(stream: TcpStream, messages: &AtomicUsize, bytes: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    reader.get_mut().write_all(b"220 sink\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer: &[u8] = match line.get(..4) {
            Some(b"EHLO") => b"250-sink\r\n250 8BITMIME\r\n",
            Some(b"QUIT") => b"221 bye\r\n",
            Some(b"DATA") => {
                reader.get_mut().write_all(b"354 go on\r\n")?;
                loop {
                    line.clear();
                    let read = reader.read_until(b'\n', &mut line)?;
                    bytes.fetch_add(read, Ordering::SeqCst);
                    if read == 0 || line == b".\r\n" {
                        break;
                    }
                }
                messages.fetch_add(1, Ordering::SeqCst);
                b"250 taken\r\n"
            }
            _ => b"250 ok\r\n",
        };
        reader.get_mut().write_all(answer)?;
    }
}
