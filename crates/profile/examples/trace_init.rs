//! First process of an emulated machine: traces the kernel for real and says what it saw.
//!
//! Built statically and booted as `/init`, it mounts what it needs, and the tracing of functions
//! has to work. Run as root on another machine it does the same with what is there: a kernel that
//! is locked down refuses functions, and then it must say so. Its last line is `TRACE PASS`, or
//! `TRACE FAIL: why`. Run with the word `abandon` it leaves an instance behind, as a crash would.
#![expect(clippy::print_stdout, reason = "the console is its only output")]
#![expect(unsafe_code, reason = "one ioctl sets up the loopback interface of a new machine")]

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use tidemill_profile::ftrace::{Content, Plan, Record, Tracefs, Tracer};

fn main() {
    let is_init = std::process::id() == 1;
    if is_init {
        mount_all();
    }
    let word = std::env::args().nth(1).filter(|_| !is_init).unwrap_or_default();
    let result = match word.as_str() {
        "abandon" => abandon(),
        "connect" => connect().map_err(Into::into),
        _ => check(is_init),
    };
    match result {
        Ok(()) if word.is_empty() => println!("TRACE PASS"),
        Ok(()) => {}
        Err(error) => println!("TRACE FAIL: {error}"),
    }
    if is_init {
        rustix::fs::sync();
        // Does not return when it works; the kernel panics, and the emulator ends, when it does.
        let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    }
}

fn mount_all() {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("tracefs", "/sys/kernel/tracing")]
    {
        let made = std::fs::create_dir_all(place).is_ok() || place.starts_with("/sys/");
        let flags = rustix::mount::MountFlags::empty();
        if !made || rustix::mount::mount("none", place, kind, flags, None).is_err() {
            println!("cannot mount {place}");
        }
    }
    // The loopback interface of a machine that has just begun is down.
    match loopback_up() {
        Ok(()) => {}
        Err(error) => println!("the loopback interface stays down: {error}"),
    }
}

/// Sets the interface up, on which the kernel gives it its address.
fn loopback_up() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut name = [0; libc::IFNAMSIZ];
    name[..2].copy_from_slice(&[b'l'.cast_signed(), b'o'.cast_signed()]);
    let flags = libc::c_short::try_from(libc::IFF_UP).map_err(std::io::Error::other)?;
    let ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: flags };
    let request = libc::ifreq { ifr_name: name, ifr_ifru };
    // SAFETY: the kernel reads an `ifreq` of this size from a local that outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn check(must_trace_functions: bool) -> Result<(), Box<dyn Error>> {
    let tracefs = Tracefs::find()?;
    leftovers(&tracefs)?;
    events(&tracefs)?;
    names(&tracefs)?;
    commands()?;
    functions(&tracefs, must_trace_functions)?;
    let left = ours(&tracefs)?;
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}").into()) }
}

/// What a process that ended without its destructors has left is removed at the next start.
fn leftovers(tracefs: &Tracefs) -> Result<(), Box<dyn Error>> {
    let status = Command::new("/proc/self/exe").arg("abandon").status()?;
    let left = ours(tracefs)?;
    if !status.success() || left.len() != 1 {
        return Err(format!("one instance was to be left, not {left:?}").into());
    }
    let tracer = Tracer::new(tracefs)?;
    let now = ours(tracefs)?;
    println!("leftovers: {left:?}, then {now:?}");
    if now != [tracer.instance_name()] {
        return Err("the instance of a dead process is still there".into());
    }
    Ok(())
}

fn abandon() -> Result<(), Box<dyn Error>> {
    let mut tracer = Tracer::new(&Tracefs::find()?)?;
    tracer.event("sched:sched_switch", None)?;
    std::mem::forget(tracer);
    Ok(())
}

/// Events of this thread come as records, and a filter keeps the others out.
fn events(tracefs: &Tracefs) -> Result<(), Box<dyn Error>> {
    let own = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    for (filter, is_any) in [(None, true), (Some("next_prio > 1000"), false)] {
        let mut tracer = Tracer::new(tracefs)?;
        tracer.event("sched:sched_switch", filter)?;
        tracer.thread(own)?;
        let mut stream = tracer.start()?;
        (0..20).for_each(|_| std::thread::park_timeout(Duration::from_millis(1)));
        tracer.stop()?;
        let records = stream.by_ref().collect::<Result<Vec<_>, _>>()?;
        println!("events with {filter:?}: {} records", records.len());
        let mine = |record: &&Record| {
            record.fields().iter().any(|(name, value)| {
                name.ends_with("_pid") && value.parse::<u32>().is_ok_and(|tid| tid == own)
            })
        };
        if is_any != records.iter().any(|record| mine(&record)) || stream.unread() > 0 {
            return Err(format!("with {filter:?}: {records:?}").into());
        }
    }
    Ok(())
}

/// What is not there is refused by name.
fn names(tracefs: &Tracefs) -> Result<(), Box<dyn Error>> {
    let mut tracer = Tracer::new(tracefs)?;
    for (event, filter, part) in [
        ("sched:sched_swich", None, "did you mean `sched:sched_switch`?"),
        ("shed:sched_switch", None, "there is no group `shed`"),
        ("sched_switch", None, "written as sched:sched_switch"),
        ("sched:../../x", None, "written as sched:sched_switch"),
        ("sched:sched_switch", Some("nonsense < 3"), "Field not found"),
    ] {
        let error = tracer.event(event, filter).err().ok_or("it is not there")?;
        if !error.is_input() || !error.to_string().contains(part) {
            return Err(format!("{event}: {error}").into());
        }
    }
    let error = tracer.start().err().ok_or("nothing is traced")?;
    println!("names: refused; {error}");
    Ok(())
}

/// A command is traced from its first instruction, and what cannot be started is said.
fn commands() -> Result<(), Box<dyn Error>> {
    let plan = Plan::new().event("sched:sched_process_exec", None);
    let mut command = Command::new("/proc/self/exe");
    command.arg("connect");
    let mut trace = plan.spawn(command)?;
    let mut executed = 0;
    while let Some(record) = trace.next_record()? {
        executed += u32::from(record.tid == trace.pid());
    }
    println!("command: {executed} exec of {}, {:?}", trace.pid(), trace.status());
    if executed != 1 || !trace.status().is_some_and(|status| status.success()) {
        return Err("the command's exec is one record".into());
    }
    let error = plan.spawn(Command::new("/no/such/program")).err().ok_or("there is none")?;
    if error.is_input() { Ok(()) } else { Err(error.into()) }
}

/// Calls of a kernel function are records with their callers, or this kernel refuses them.
fn functions(tracefs: &Tracefs, must_work: bool) -> Result<(), Box<dyn Error>> {
    let mut tracer = Tracer::new(tracefs)?;
    match tracer.functions(["tcp_v4_connect"]) {
        Ok(()) => {}
        Err(error) if error.is_refused() && !must_work => {
            println!("functions: refused; {error}");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    let error = tracer.functions(["tcp_v4_konnect"]).err().ok_or("there is no such function")?;
    println!("functions: {error}");
    if !error.is_input() {
        return Err(error.into());
    }
    tracer.functions(["tcp_v4_conn*", "inet_csk_accept"])?;
    let own = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    tracer.thread(own)?;
    let stream = tracer.start()?;
    connect()?;
    tracer.stop()?;
    let mut calls = Vec::new();
    for record in stream {
        if let Content::Function { function, caller } = record?.content {
            calls.push(format!("{function} <- {caller}"));
        }
    }
    println!("functions: {calls:?}");
    let is_called = |name: &str| calls.iter().any(|call| call.starts_with(name));
    if is_called("tcp_v4_connect ") && is_called("inet_csk_accept ") {
        Ok(())
    } else {
        Err(format!("connect and accept were not both seen: {calls:?}").into())
    }
}

/// Connects to itself and accepts.
fn connect() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _client = TcpStream::connect(listener.local_addr()?)?;
    listener.accept().map(drop)
}

/// Returns the names of instances that are ours.
fn ours(tracefs: &Tracefs) -> std::io::Result<Vec<String>> {
    let entries = std::fs::read_dir(tracefs.root().join("instances"))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with("tidemill-")).collect())
}
