//! Processes of the rig: pinned to cores, killed with the rig, weighed by the kernel's accounting.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Nanoseconds in a tick of /proc/PID/stat: Linux shows programs 100 a second, whatever it uses.
const TICK: u64 = 10_000_000;

/// Where processes run: the proxy under test alone, everything else on the other cores.
pub struct Cores {
    /// One core, in `taskset -c` notation.
    pub proxy: String,
    /// The other cores this process may use.
    pub rest: String,
}

impl Cores {
    /// From the cores this process may use; with only one, everything shares it.
    pub fn find() -> Result<Self, String> {
        let status = fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("/proc/self/status: {error}"))?;
        let list = field(&status, "Cpus_allowed_list:")
            .ok_or("no Cpus_allowed_list in /proc/self/status")?;
        let cores: Vec<u32> = list.split(',').flat_map(range).collect();
        let (first, rest) = cores.split_first().ok_or("no core to run on")?;
        let rest = if rest.is_empty() { &cores[..] } else { rest };
        let rest: Vec<String> = rest.iter().map(u32::to_string).collect();
        Ok(Self {
            proxy: first.to_string(),
            rest: rest.join(","),
        })
    }

    /// Whether proxy and load stand apart.
    pub fn apart(&self) -> bool {
        self.proxy != self.rest
    }
}

/// `3` or `0-3`.
fn range(text: &str) -> std::ops::RangeInclusive<u32> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse().unwrap_or(0);
    number(from)..=number(to)
}

/// Where a program is, looked for where Debian puts daemons too.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"]);
    folders
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file())
}

/// A command that runs on the given cores and dies with the rig, however the rig ends.
pub fn pinned(cores: &str, program: &Path) -> Command {
    let mut command = match find("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "taskset"]);
            command
        }
        None => Command::new("taskset"),
    };
    command.args(["-c", cores]).arg(program);
    command
}

/// A port of the loopback interface that is free now.
pub fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))
}

/// A child process; killed on drop.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `log`.
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self, String> {
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let copy = file
            .try_clone()
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Waits until `address` accepts connections; tells the log's end if it never does.
    pub fn ready(&mut self, address: SocketAddr) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended at start ({status}){}", self.last_words()));
            }
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("doesn't listen on {address}{}", self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n    ");
        if last.is_empty() {
            String::new()
        } else {
            format!(":\n    {last}")
        }
    }

    /// Asks it to stop and waits; whether it ended by itself.
    pub fn stop(&mut self) -> bool {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Gone already: nothing to stop.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        wait(&mut self.child, PATIENCE)
    }

    /// CPU time used so far by all its threads, ended ones too.
    ///
    /// The scheduler's nanoseconds miss threads that have ended; the process's ticks include them
    /// but are cut to 10 ms. Both are lower bounds, so the larger is the better one.
    pub fn cpu(&self) -> Result<Duration, String> {
        let root = PathBuf::from(format!("/proc/{}", self.child.id()));
        let tasks = fs::read_dir(root.join("task"))
            .map_err(|error| format!("{}: {error}", root.display()))?;
        let running: u64 = tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
            .sum();
        let stat = fs::read_to_string(root.join("stat")).unwrap_or_default();
        // utime and stime, fields 14 and 15; the name (field 2) may hold blanks.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 = after_name
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|text| text.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_nanos(running.max(ticks * TICK)))
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let kib = field(&status, "VmRSS:").and_then(|text| text.split(' ').next()?.parse().ok());
        kib.unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Waits for `child` for at most `patience`; whether it ended.
fn wait(child: &mut Child, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Runs `command` to its end and returns its output; kills it after `limit`.
pub fn output(mut command: Command, limit: Duration) -> Result<String, String> {
    let name = command
        .get_args()
        .filter_map(|text| text.to_str())
        .collect::<Vec<_>>()
        .join(" ");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let mut child = child.map_err(|error| format!("{name}: {error}"))?;
    // What the load generators print fits the pipe, so nothing blocks before the wait.
    if !wait(&mut child, limit) {
        drop(child.kill());
        drop(child.wait());
        return Err(format!("{name}: still running after {limit:?}"));
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One of our own roles, in a process of its own.
pub struct Role {
    process: Process,
    /// Where it serves.
    pub address: SocketAddr,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Role {
    /// Starts this very program as `role-NAME`.
    pub fn start(
        cores: &str,
        name: &str,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
        let mut command = pinned(cores, &own);
        command.arg(format!("role-{name}")).args(arguments);
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn();
        let mut child = child.map_err(|error| format!("{name}: {error}"))?;
        let (Some(ask), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{name}: no pipes"));
        };
        let process = Process { child, log };
        let mut answers = BufReader::new(out);
        let line = line(&mut answers);
        let address = line.parse().map_err(|_| {
            format!(
                "{name}: expected an address, got `{line}`{}",
                process.last_words()
            )
        })?;
        Ok(Self {
            process,
            address,
            ask,
            answers,
        })
    }

    /// Gives up asking; the role goes on as long as the process is held.
    pub fn into_process(self) -> Process {
        let mut process = self.process;
        process.child.stdin = Some(self.ask);
        process
    }

    /// Asks the role something; it answers with a line.
    pub fn ask(&mut self, question: &str) -> Result<String, String> {
        writeln!(self.ask, "{question}").map_err(|error| format!("{question}: {error}"))?;
        Ok(line(&mut self.answers))
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    drop(from.read_line(&mut line));
    line.trim().to_owned()
}
