//! The two devices: one that blocks, for a single connection, and an ideal epoll server for many.
//!
//! The epoll server can be told the period in which it expects each connection to ask. It then reports at its end what
//! no client can gloss over: how many periods passed without a request, and how late requests came after the earliest
//! phase of their connection.
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::answer::Device;
use crate::meter::{nanos, quantiles};
use crate::poll::Poll;

const LISTENER: usize = usize::MAX;
const INPUT: usize = usize::MAX - 1;
const CHUNK: usize = 8192;
/// Most moments kept of one connection.
const MOMENTS_MAX: usize = 100_000;

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("READY {}", listener.local_addr()?.port());
    Ok(listener)
}

/// A thread for each connection; at its end `WRITES [[ns, value], ...]`.
pub fn device(is_stamping: bool) -> io::Result<()> {
    let listener = listen()?;
    let written = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&written);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut device = Device::new(is_stamping);
                // The end of a connection, however it came about, is the end of its thread.
                let _ = serve(stream, &mut device);
                shared.lock().unwrap_or_else(PoisonError::into_inner).append(&mut device.writes);
            });
        }
    });
    io::stdin().read_to_end(&mut Vec::new())?;
    let mut writes = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
    writes.sort_unstable();
    let items: Vec<String> = writes.iter().map(|(time, value)| format!("[{time}, {value}]")).collect();
    println!("[{}]", items.join(", "));
    Ok(())
}

fn serve(mut stream: TcpStream, device: &mut Device) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut held, mut output) = ([0; CHUNK], 0, Vec::with_capacity(CHUNK));
    loop {
        match stream.read(&mut input[held..])? {
            0 => return Ok(()),
            count => held += count,
        }
        output.clear();
        let Some(used) = device.answer(&input[..held], &mut output) else { return Ok(()) };
        stream.write_all(&output)?;
        input.copy_within(used..held, 0);
        held -= used;
    }
}

struct Client {
    stream: TcpStream,
    held: Vec<u8>,
    moments: Vec<u64>,
}

/// One thread for all connections.
pub fn ideal(period_us: Option<u64>) -> io::Result<()> {
    let listener = listen()?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    poll.add(rustix::stdio::stdin(), INPUT)?;
    let (mut clients, mut ready) = (Vec::<Option<Client>>::new(), Vec::new());
    let mut ended = Vec::new();
    let (mut device, mut chunk, mut output) = (Device::new(false), vec![0; CHUNK], Vec::with_capacity(CHUNK));
    loop {
        poll.wait(&mut ready)?;
        for number in &ready {
            match *number {
                INPUT => {
                    report(period_us, device.reads, ended.into_iter().chain(clients.into_iter().flatten()));
                    return Ok(());
                }
                LISTENER => accept(&listener, &poll, &mut clients)?,
                number => {
                    let Some(client) = clients[number].as_mut() else { continue };
                    let moment = period_us.map(|_| nanos());
                    match turn(client, &mut device, &mut chunk, &mut output) {
                        Ok(()) => client.moments.extend(moment.filter(|_| client.moments.len() < MOMENTS_MAX)),
                        Err(_) => ended.extend(clients[number].take().filter(|client| client.moments.len() > 1)),
                    }
                }
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, clients: &mut Vec<Option<Client>>) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poll.add(&stream, clients.len())?;
        clients.push(Some(Client { stream, held: Vec::new(), moments: Vec::new() }));
    }
    Ok(())
}

/// Reads once and answers; an error ends the connection.
fn turn(client: &mut Client, device: &mut Device, chunk: &mut [u8], output: &mut Vec<u8>) -> io::Result<()> {
    let count = client.stream.read(chunk)?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    output.clear();
    if client.held.is_empty() {
        let used = device.answer(&chunk[..count], output).ok_or(ErrorKind::InvalidData)?;
        client.held.extend_from_slice(&chunk[used..count]);
    } else {
        client.held.extend_from_slice(&chunk[..count]);
        let used = device.answer(&client.held, output).ok_or(ErrorKind::InvalidData)?;
        client.held.drain(..used);
    }
    if output.is_empty() {
        return Ok(());
    }
    // A client that does not take its answers is not one of this benchmark's.
    client.stream.write_all(output)
}

fn report(period_us: Option<u64>, reads: u64, clients: impl Iterator<Item = Client>) {
    let period = period_us.unwrap_or(0) * 1000;
    let (mut missed, mut late, mut connections) = (0, Vec::new(), 0);
    for client in clients {
        connections += 1;
        if period > 0 {
            missed += grid(&client.moments, period, &mut late);
        }
    }
    let late = quantiles(&mut late);
    println!("{{\"reads\": {reads}, \"connections\": {connections}, \"missed\": {missed}, {late}}}");
}

/// Adds how late each request came after the earliest phase of its connection; how many periods had none.
fn grid(moments: &[u64], period: u64, late: &mut Vec<u64>) -> u64 {
    // The first requests of a connection are its greeting, not its rhythm.
    let Some((first, rest)) = moments.get(SETTLING..).and_then(<[u64]>::split_first) else { return 0 };
    let offset = |moment: &u64| (moment - first + period / 2) % period;
    let earliest = rest.iter().map(offset).min().unwrap_or(0);
    late.extend(rest.iter().map(|moment| offset(moment) - earliest));
    let spanned = rest.last().map_or(0, |last| (last - first + period / 2) / period);
    spanned.saturating_sub(u64::try_from(rest.len()).unwrap_or(u64::MAX))
}

const SETTLING: usize = 5;
