//! A network that misbehaves: a proxy before a broker, which reads the frames of Kafka's protocol
//! and deals with single requests as it is told.
//!
//! Only the head of a frame is read (the protocol guide: size i32, then api key i16, version i16,
//! correlation id i32 in a request; size i32, correlation id i32 in its answer).

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The api key of InitProducerId.
pub(crate) const INIT_PRODUCER_ID: i16 = 22;
/// The api key of AddPartitionsToTxn.
pub(crate) const ADD_PARTITIONS: i16 = 24;
/// The api key of EndTxn.
pub(crate) const END_TXN: i16 = 26;
/// The api key of WriteTxnMarkers, by which a coordinator ends a transaction in its partitions.
pub(crate) const WRITE_TXN_MARKERS: i16 = 27;
/// The api key of Produce.
pub(crate) const PRODUCE: i16 = 0;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deal {
    /// Nothing: so that one behind it can be meant.
    Passed,
    /// The connection is cut before the broker reads it.
    Lost,
    /// The broker answers, and the connection is cut instead of the answer.
    Unanswered,
    /// The answer is held for so long.
    Slow(Duration),
    /// The broker gets it so long after, and so all that follows it on the connection.
    Held(Duration),
    /// The connection is cut, and the broker gets the request so long after.
    Belated(Duration),
}

#[derive(Default)]
struct Told {
    /// The next requests of an api key are dealt with so, in this order.
    orders: BTreeMap<i16, VecDeque<Deal>>,
    /// What was done, in order.
    done: Vec<(i16, Deal)>,
    /// The answers to belated requests: their bytes behind the correlation id.
    belated: Vec<Vec<u8>>,
}

/// A proxy; it serves until the process ends.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    told: Arc<Mutex<Told>>,
}

type Answers = Arc<Mutex<BTreeMap<i32, Deal>>>;

impl Proxy {
    /// Passes on to `broker` what comes in at a port of its own.
    pub(crate) fn before(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let proxy = Proxy { port, told: Arc::default() };
        let serving = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // The broker may be away: then the client finds nobody.
                let (Ok(client), Ok(upstream)) = (client, TcpStream::connect(broker)) else {
                    continue;
                };
                serving.clone().serve(client, upstream);
            }
        });
        proxy
    }

    /// Where clients reach it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next request with this api key is dealt with so, after those told before.
    pub(crate) fn tell(&self, api: i16, deal: Deal) {
        self.with(|told| told.orders.entry(api).or_default().push_back(deal));
    }

    /// Waits until `count` requests were dealt with.
    pub(crate) fn await_done(&self, count: usize, limit: Duration) {
        let until = Instant::now() + limit;
        while self.with(|told| told.done.len()) < count {
            let done = self.with(|told| format!("{:?}", told.done));
            assert!(Instant::now() < until, "only {done} came by");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the answers to `count` belated requests.
    pub(crate) fn await_belated(&self, count: usize, limit: Duration) -> Vec<Vec<u8>> {
        let until = Instant::now() + limit;
        loop {
            let answers = self.with(|told| told.belated.clone());
            if answers.len() >= count {
                return answers;
            }
            assert!(Instant::now() < until, "only {} belated requests arrived", answers.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Told) -> R) -> R {
        act(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(self, client: TcpStream, upstream: TcpStream) {
        let answers = Answers::default();
        let (from_broker, to_client, expected) = (copy(&upstream), copy(&client), answers.clone());
        std::thread::spawn(move || answer(from_broker, to_client, &expected));
        std::thread::spawn(move || self.ask(client, upstream, &answers));
    }

    /// The way to the broker.
    fn ask(self, mut client: TcpStream, mut upstream: TcpStream, answers: &Answers) {
        while let Some(frame) = frame(&mut client) {
            let api = i16::from_be_bytes([frame[4], frame[5]]);
            let order = self.with(|told| {
                let deal = told.orders.get_mut(&api)?.pop_front()?;
                told.done.push((api, deal));
                Some(deal)
            });
            match order {
                Some(Deal::Lost) => break,
                Some(Deal::Held(time)) => std::thread::sleep(time),
                Some(Deal::Belated(late)) => {
                    let _cut = client.shutdown(Shutdown::Both);
                    return self.belate(upstream, &frame, late);
                }
                Some(deal) => {
                    let id = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
                    answers.lock().unwrap_or_else(PoisonError::into_inner).insert(id, deal);
                }
                None => {}
            }
            if upstream.write_all(&frame).is_err() {
                break;
            }
        }
        let _cut = (client.shutdown(Shutdown::Both), upstream.shutdown(Shutdown::Both));
    }

    fn belate(self, broker: TcpStream, request: &[u8], late: Duration) {
        std::thread::sleep(late);
        // A connection of its own: the other direction of the old one has ended with its client.
        let Ok(mut fresh) = broker.peer_addr().and_then(TcpStream::connect) else { return };
        if fresh.write_all(request).is_ok()
            && let Some(answer) = frame(&mut fresh)
        {
            self.with(|told| told.belated.push(answer[8..].to_vec()));
        }
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a handle")
}

/// The way back.
fn answer(mut broker: TcpStream, mut client: TcpStream, answers: &Answers) {
    while let Some(frame) = frame(&mut broker) {
        let id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let deal = answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        match deal {
            Some(Deal::Unanswered) => break,
            Some(Deal::Slow(time)) => std::thread::sleep(time),
            _ => {}
        }
        if client.write_all(&frame).is_err() {
            break;
        }
    }
    let _cut = (client.shutdown(Shutdown::Both), broker.shutdown(Shutdown::Both));
}

/// The next frame, its size before it; none when the connection has ended.
fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).ok()?;
    let length = usize::try_from(i32::from_be_bytes(size)).ok()?;
    let mut frame = vec![0; 4 + length];
    frame[..4].copy_from_slice(&size);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}
