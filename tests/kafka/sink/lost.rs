//! Cases 6 to 8, 14, 22, 24: requests that never arrive, answers that never come, a commit that is
//! still under way, and one that arrives when its transaction is long over.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use xtask::kafka::{Broker, free_port};

use super::numbers::{RECORDS, check, copy, pipeline, signal, start};
use crate::proxy::{
    ADD_PARTITIONS, Deal, END_TXN, INIT_PRODUCER_ID, PRODUCE, Proxy, WRITE_TXN_MARKERS,
};
use crate::rig::{LIMIT, World, await_checkpoints, broker, end_of};

/// As many numbers as there is to disturb.
const LONG: u64 = 60_000;

/// A broker that jobs, and the broker itself, reach through a proxy, and readers do not.
struct Proxied {
    broker: Broker,
    proxy: Proxy,
}

impl Proxied {
    fn start() -> Self {
        let behind = free_port().expect("a port");
        let proxy = Proxy::before(SocketAddr::from(([127, 0, 0, 1], behind)));
        let listeners = format!(
            "PLAINTEXT://127.0.0.1:{{broker}},CONTROLLER://127.0.0.1:{{controller}},\
             PROXIED://127.0.0.1:{behind}"
        );
        let advertised =
            format!("PLAINTEXT://127.0.0.1:{{broker}},PROXIED://127.0.0.1:{}", proxy.port());
        let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT";
        let broker = broker(&[
            ("listeners", &listeners),
            ("advertised.listeners", &advertised),
            ("listener.security.protocol.map", map),
            // So the coordinator's own requests pass the proxy, too.
            ("inter.broker.listener.name", "PROXIED"),
        ]);
        broker.create_topic("out", 2, &[]).expect("makes");
        Proxied { broker, proxy }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port())
    }

    /// Runs the numbers to their end while `disturb` does its work, and looks at the result.
    fn undergo(&self, job: &str, disturb: impl FnOnce(&Proxy, &World) + Send) {
        let world = World::new(job);
        std::thread::scope(|scope| {
            let running =
                scope.spawn(|| world.run(|job| pipeline(job, &self.address(), "out", LONG)));
            await_checkpoints(world.folder.path());
            disturb(&self.proxy, &world);
            let ended = running.join().expect("no panic");
            ended.unwrap_or_else(|error| panic!("{error}"));
        });
        check(&self.broker, "out", LONG);
    }

    /// Kills the numbers' process as soon as its next request of `api` is dealt with so, and starts
    /// them again.
    fn kill_at(&self, job: &str, api: i16, deal: Deal) {
        let world = World::new(job);
        let process = start(&self.address(), &world, "out");
        await_checkpoints(world.folder.path());
        self.proxy.tell(api, deal);
        self.proxy.await_done(1, LIMIT);
        let (ended, said) = end_of(process, Duration::from_millis(20));
        assert_eq!(ended, None, "{said}");
        let (ended, said) = end_of(start(&self.address(), &world, "out"), LIMIT);
        assert_eq!(ended, Some(true), "{said}");
        check(&self.broker, "out", RECORDS);
    }
}

#[test]
fn cases_6_and_22_each_request_of_a_transaction_is_lost_and_then_its_answer() {
    Proxied::start().undergo("lost", |proxy, world| {
        let apis = [END_TXN, ADD_PARTITIONS, PRODUCE];
        let deals = [Deal::Lost, Deal::Unanswered, Deal::Slow(Duration::from_millis(200))];
        for (done, (deal, api)) in
            deals.iter().flat_map(|deal| apis.map(|api| (*deal, api))).enumerate()
        {
            proxy.tell(api, deal);
            proxy.await_done(done + 1, LIMIT);
        }
        // A connection that is cut during a commit means a new producer: its birth is disturbed.
        proxy.tell(INIT_PRODUCER_ID, Deal::Unanswered);
        proxy.tell(END_TXN, Deal::Lost);
        proxy.await_done(apis.len() * deals.len() + 2, LIMIT);
        await_checkpoints(world.folder.path());
    });
}

#[test]
fn case_7_a_commit_is_done_and_nobody_hears_of_it() {
    Proxied::start().kill_at("unheard", END_TXN, Deal::Unanswered);
}

#[test]
fn case_8_a_commit_is_decided_and_not_yet_in_the_partitions() {
    let held = Deal::Held(Duration::from_secs(5));
    Proxied::start().kill_at("undone", WRITE_TXN_MARKERS, held);
}

#[test]
fn case_14_a_run_thought_dead_wakes_up_between_the_fencing_of_its_two_producers() {
    let proxied = Proxied::start();
    let (first, second) = (World::new("between"), World::new("between"));
    let zombie = start(&proxied.address(), &first, "out");
    await_checkpoints(first.folder.path());
    signal(&zombie, Signal::STOP);
    copy(first.folder.path(), second.folder.path());
    proxied.proxy.tell(INIT_PRODUCER_ID, Deal::Passed);
    proxied.proxy.tell(INIT_PRODUCER_ID, Deal::Held(Duration::from_secs(3)));
    let owner = start(&proxied.address(), &second, "out");
    proxied.proxy.await_done(2, LIMIT);
    signal(&zombie, Signal::CONT);
    let (ended, said) = end_of(zombie, LIMIT);
    assert_eq!(ended, Some(false), "it must not go on");
    assert!(said.contains("RR0404"), "{said}");
    let (mut ended, mut said) = end_of(owner, LIMIT);
    if said.contains("RR0233") {
        // What the zombie could still commit lies in its own folder: nothing else will do.
        copy(first.folder.path(), second.folder.path());
        (ended, said) = end_of(start(&proxied.address(), &second, "out"), LIMIT);
    }
    assert_eq!(ended, Some(true), "{said}");
    check(&proxied.broker, "out", RECORDS);
}

#[test]
fn case_24_a_commit_that_was_repeated_arrives_later_and_ends_nothing() {
    let proxied = Proxied::start();
    proxied.undergo("belated", |proxy, _| {
        for done in 1..=3 {
            proxy.tell(END_TXN, Deal::Belated(Duration::from_secs(4)));
            proxy.await_done(done, LIMIT);
        }
    });
    let answers = proxied.proxy.await_belated(3, LIMIT);
    for answer in answers {
        // Of EndTxn up to version 2: how long to wait, i32, and the error, i16.
        let error = i16::from_be_bytes([answer[4], answer[5]]);
        assert_ne!(error, 0, "the broker did it: {answer:?}");
    }
}
