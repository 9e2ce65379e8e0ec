//! Leases (coordination.k8s.io/v1) as node locks: which contender may take which lock, whose turn it is, when a Lease has
//! expired, and the manifests. Must not know the clock, nor how Leases are read and written.
//!
//! Each lock is a Lease, whose `holderIdentity` names the holder. A contender that finds none free creates a further Lease, a
//! ticket: its place in the queue. The first of the queue takes the first free lock, the second the second, and a newcomer
//! what is left. A ticket's number is one higher than all that its owner saw. Two tickets that were created at the same time
//! may have the same number; then their names decide. A write holds only for the version that was read, so that of two
//! contenders for one lock only one gets it.
//!
//! Clocks are not compared: a Lease has expired for a contender that saw it unchanged for as long as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::core::kube::labels;
use crate::core::kube::objects::Meta;

/// How long a Lease lasts that has no `leaseDurationSeconds`.
const DEFAULT_SECONDS: u32 = 60;

/// The longest gap between two reads in which a Lease still counts as watched, however short it lasts. It is longer than the
/// pause between two reads.
const LONGEST_GAP: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub metadata: Meta,
    pub spec: Spec,
}

/// `spec` of a [`Lease`]. The times are for people; nothing is decided by them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Absent or empty if the Lease is not held.
    pub holder_identity: Option<String>,
    /// How long it lasts without being renewed.
    pub lease_duration_seconds: Option<u32>,
    pub acquire_time: Option<String>,
    pub renew_time: Option<String>,
    /// How often its holder changed.
    pub lease_transitions: Option<u32>,
}

impl Lease {
    fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The holder, if there is one.
    pub fn holder(&self) -> Option<&str> {
        self.spec.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// The place of a ticket in the queue. Tickets without a valid number come last.
    fn place(&self) -> (u64, &str) {
        (self.turn().unwrap_or(u64::MAX), self.name())
    }

    fn turn(&self) -> Option<u64> {
        self.metadata.annotations.get(labels::LOCK_TURN)?.parse().ok()
    }

    fn lasts(&self) -> Duration {
        Duration::from_secs(self.spec.lease_duration_seconds.unwrap_or(DEFAULT_SECONDS).into())
    }
}

/// Since when each Lease was seen in its present version.
#[derive(Debug, Default)]
pub struct Watched {
    /// Version and time, by name.
    seen: BTreeMap<String, (String, Duration)>,
    /// When the last answer came.
    answered: Duration,
}

impl Watched {
    /// Notes a list, with the times of its request and of its answer on a monotonic clock, and returns the names of the Leases
    /// that have expired. A Lease with the same version in an answer and in a later request was unchanged for at least the time
    /// between them.
    ///
    /// After a long gap the watch starts again: while the API did not answer, no holder could renew its Lease.
    pub fn see(&mut self, leases: &[Lease], asked: Duration, answered: Duration) -> BTreeSet<String> {
        let gap = answered.saturating_sub(self.answered);
        let was_watched = |lease: &Lease| gap <= LONGEST_GAP.max(lease.lasts() / 2);
        let since = |lease: &Lease| match self.seen.get(lease.name()) {
            Some((version, since)) if *version == lease.metadata.resource_version && was_watched(lease) => *since,
            _ => answered,
        };
        let now: Vec<_> = leases.iter().map(|lease| (lease, since(lease))).collect();
        let expired = now.iter().filter(|(lease, since)| asked.checked_sub(*since) >= Some(lease.lasts()));
        let expired = expired.map(|(lease, _)| lease.name().to_string()).collect();
        let entry = |(lease, since): (&Lease, Duration)| {
            (lease.name().to_string(), (lease.metadata.resource_version.clone(), since))
        };
        *self = Watched { seen: now.into_iter().map(entry).collect(), answered };
        expired
    }
}

/// The locks of a node, as Leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The node's name, shortened to a label's value.
    node: String,
    /// The number of locks.
    pub count: u32,
    /// How long a Lease lasts without being renewed.
    pub duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    pub name: String,
    /// The holder's name, without its nonce.
    pub holder: Option<String>,
    pub since: Option<DateTime<Utc>>,
}

/// A process that wants a lock.
#[derive(Debug, Clone)]
pub struct Contender {
    slots: Slots,
    /// Letters that make its `holderIdentity` unique.
    nonce: String,
    identity: String,
}

/// The next step of a contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move<'a> {
    /// It already holds this lock: the answer to its request was lost.
    Hold(&'a str),
    /// Take the lock with this number.
    Take(u32),
    Wait,
}

impl Slots {
    /// The node's name may be longer than a label's value.
    pub fn new(node: &str, count: u32, duration: Duration) -> Slots {
        Slots { node: labels::name_value(node), count, duration }
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// The label selector of locks and tickets.
    pub fn selector(&self) -> String {
        format!("{}={}", labels::LOCK_NODE, self.node)
    }

    /// The name of a lock.
    pub fn name(&self, number: u32) -> String {
        format!("backup-ns-{}-{number}", self.node)
    }

    /// The first and the last name, as text.
    pub fn range(&self) -> String {
        let last = if self.count > 1 { format!(" to {}", self.count) } else { String::new() };
        format!("{}{last}", self.name(1))
    }

    /// The beginning of a ticket's name. The name ends with letters, so it cannot be that of another node's lock.
    fn ticket_prefix(&self) -> String {
        format!("backup-ns-{}-wait-", self.node)
    }

    pub fn is_ticket(&self, lease: &Lease) -> bool {
        lease.name().starts_with(&self.ticket_prefix())
    }

    /// The held locks with their holders, as phrases.
    pub fn holders(&self, leases: &[Lease]) -> Vec<String> {
        let phrase = |lease: &Lease| {
            let (holder, spec) = (lease.holder()?, &lease.spec);
            let holder = holder.rsplit_once(' ').map_or(holder, |(holder, _)| holder);
            let since = spec.acquire_time.as_ref().map(|time| format!(" since {time}")).unwrap_or_default();
            Some(format!("{} by {holder}{since}", lease.name()))
        };
        leases.iter().filter(|lease| !self.is_ticket(lease)).filter_map(phrase).collect()
    }

    /// The state of each lock, also of existing ones with a number above `count`. An expired Lease counts as held.
    pub fn states(&self, leases: &[Lease]) -> Vec<LeaseState> {
        let slot = |name: String| {
            let lease = leases.iter().find(|lease| lease.name() == name);
            let holder = lease.and_then(Lease::holder);
            let since = lease.filter(|_| holder.is_some()).and_then(|lease| lease.spec.acquire_time.as_deref());
            LeaseState {
                holder: holder.map(|holder| holder.rsplit_once(' ').map_or(holder, |(holder, _)| holder).into()),
                since: since.and_then(|time| Some(DateTime::parse_from_rfc3339(time).ok()?.to_utc())),
                name,
            }
        };
        let own: Vec<String> = (1..=self.count).map(|number| self.name(number)).collect();
        let others = leases.iter().filter(|lease| !self.is_ticket(lease)).map(|lease| lease.name().to_string());
        let others: Vec<String> = others.filter(|name| !own.contains(name)).collect();
        own.into_iter().chain(others).map(slot).collect()
    }

    /// How many tickets there are.
    pub fn waiting(&self, leases: &[Lease]) -> usize {
        leases.iter().filter(|lease| self.is_ticket(lease)).count()
    }

    pub fn tickets<'a>(&'a self, leases: &'a [Lease]) -> impl Iterator<Item = &'a Lease> {
        leases.iter().filter(|lease| self.is_ticket(lease))
    }
}

impl Contender {
    /// `holder` is a name for people, `nonce` are random letters.
    pub fn new(slots: &Slots, holder: &str, nonce: &str) -> Contender {
        Contender { slots: slots.clone(), nonce: nonce.into(), identity: format!("{holder} {nonce}") }
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether it holds this lock or ticket.
    pub fn has(&self, lease: &Lease) -> bool {
        lease.holder() == Some(&self.identity)
    }

    pub fn ticket<'a>(&'a self, leases: &'a [Lease]) -> Option<&'a Lease> {
        self.slots.tickets(leases).find(|lease| self.has(lease))
    }

    /// The next step. `last` is for the last attempt before the timeout: it takes a free lock even if others are before it.
    pub fn next<'a>(&self, leases: &'a [Lease], expired: &BTreeSet<String>, last: bool) -> Move<'a> {
        let mut locks = leases.iter().filter(|lease| !self.slots.is_ticket(lease));
        if let Some(lease) = locks.find(|lease| self.has(lease)) {
            return Move::Hold(lease.name());
        }
        let taken = |lease: &&Lease| lease.holder().is_some() && !expired.contains(lease.name());
        let taken: BTreeSet<&str> = leases.iter().filter(taken).map(Lease::name).collect();
        let mut free = (1..=self.slots.count).filter(|number| !taken.contains(self.slots.name(*number).as_str()));
        let ahead = if last { 0 } else { self.ahead(leases, expired) };
        free.nth(ahead).map_or(Move::Wait, Move::Take)
    }

    /// How many are before it in the queue and still wait. A contender that holds a lock does not wait; it has not deleted its
    /// ticket yet.
    fn ahead(&self, leases: &[Lease], expired: &BTreeSet<String>) -> usize {
        let own = self.ticket(leases).map(Lease::place);
        let locks = leases.iter().filter(|lease| !self.slots.is_ticket(lease));
        let served: BTreeSet<&str> = locks.filter_map(Lease::holder).collect();
        let waits = |ticket: &&Lease| {
            let is_served = ticket.holder().is_some_and(|holder| served.contains(holder));
            !self.has(ticket) && !is_served && !expired.contains(ticket.name())
        };
        let before = |ticket: &&Lease| own.is_none_or(|own| ticket.place() < own);
        self.slots.tickets(leases).filter(waits).filter(before).count()
    }

    /// The manifest that takes a lock, as a new Lease or in the place of the old one.
    pub fn taken(&self, number: u32, leases: &[Lease], now: DateTime<Utc>) -> Value {
        let name = self.slots.name(number);
        let old = leases.iter().find(|lease| lease.name() == name);
        let transitions = old.map_or(0, |old| old.spec.lease_transitions.unwrap_or(0).saturating_add(1));
        self.manifest(&name, old, Map::new(), &self.spec(transitions, now))
    }

    /// The manifest of its ticket: behind all others, or with the number `turn` that it had before.
    pub fn queued(&self, leases: &[Lease], turn: Option<u64>, now: DateTime<Utc>) -> (u64, Value) {
        let last = self.slots.tickets(leases).filter_map(Lease::turn).max().unwrap_or(0);
        let turn = turn.unwrap_or(last.saturating_add(1));
        let name = format!("{}{}", self.slots.ticket_prefix(), self.nonce);
        let annotations = Map::from_iter([(labels::LOCK_TURN.to_string(), json!(turn.to_string()))]);
        (turn, self.manifest(&name, None, annotations, &self.spec(0, now)))
    }

    /// The manifest that renews a lock or a ticket.
    pub fn renewed(&self, lease: &Lease, now: DateTime<Utc>) -> Value {
        let spec = Spec { renew_time: Some(time(now)), ..lease.spec.clone() };
        self.manifest(lease.name(), Some(lease), Map::new(), &spec)
    }

    /// The manifest that releases a lock. The Lease stays, and with it the count of its holders.
    pub fn released(&self, lease: &Lease, now: DateTime<Utc>) -> Value {
        let spec = Spec { holder_identity: Some(String::new()), renew_time: Some(time(now)), ..lease.spec.clone() };
        self.manifest(lease.name(), Some(lease), Map::new(), &spec)
    }

    fn spec(&self, transitions: u32, now: DateTime<Utc>) -> Spec {
        Spec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: u32::try_from(self.slots.duration.as_secs()).ok(),
            acquire_time: Some(time(now)),
            renew_time: Some(time(now)),
            lease_transitions: Some(transitions),
        }
    }

    /// Keeps existing labels and annotations.
    fn manifest(&self, name: &str, old: Option<&Lease>, annotations: Map<String, Value>, spec: &Spec) -> Value {
        let mut meta =
            json!({"name": name, "labels": {labels::LOCK_NODE: self.slots.node}, "annotations": annotations});
        if let Some(Meta { resource_version, labels, annotations, .. }) = old.map(|old| &old.metadata) {
            meta["resourceVersion"] = json!(resource_version);
            meta["labels"] = json!(labels);
            meta["annotations"] = json!(annotations);
        }
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec})
    }
}

/// A `MicroTime` of Kubernetes.
fn time(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backup::name;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn slots(count: u32) -> Slots {
        Slots::new("n1", count, MINUTE)
    }

    fn contender(count: u32, nonce: &str) -> Contender {
        Contender::new(&slots(count), "root@host (process 7)", nonce)
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap()
    }

    /// The Lease that the API stores for a manifest.
    fn stored(manifest: Value, version: u32) -> Lease {
        let mut lease: Lease = serde_json::from_value(manifest).unwrap();
        lease.metadata.resource_version = version.to_string();
        lease
    }

    fn held(number: u32, nonce: &str) -> Lease {
        stored(contender(9, nonce).taken(number, &[], now()), 1)
    }

    fn free(number: u32) -> Lease {
        let lease = held(number, "x");
        stored(contender(9, "x").released(&lease, now()), 2)
    }

    fn ticket(turn: u64, nonce: &str) -> Lease {
        stored(contender(9, nonce).queued(&[], Some(turn), now()).1, 1)
    }

    fn none() -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn these(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_lock_that_is_free_or_was_never_made_is_taken() {
        let me = contender(2, "me");
        assert_eq!(me.next(&[], &none(), false), Move::Take(1));
        assert_eq!(me.next(&[held(1, "a")], &none(), false), Move::Take(2));
        assert_eq!(me.next(&[held(1, "a"), free(2)], &none(), false), Move::Take(2));
        assert_eq!(me.next(&[free(1), held(2, "a")], &none(), false), Move::Take(1));
        assert_eq!(me.next(&[held(1, "a"), held(2, "b")], &none(), false), Move::Wait);
        assert_eq!(me.next(&[held(1, "a"), held(2, "b")], &none(), true), Move::Wait);
        // A number above `count` is not taken, even if its lock is free.
        assert_eq!(me.next(&[held(1, "a"), held(2, "b"), free(3)], &none(), false), Move::Wait);
    }

    #[test]
    fn a_lock_that_expired_is_free_and_one_of_ours_is_held() {
        let me = contender(1, "me");
        assert_eq!(me.next(&[held(1, "a")], &these(&["backup-ns-n1-1"]), false), Move::Take(1));
        assert_eq!(me.next(&[held(1, "me")], &none(), false), Move::Hold("backup-ns-n1-1"));
        // Its own ticket is no lock.
        assert_eq!(me.next(&[held(1, "a"), ticket(1, "me")], &none(), false), Move::Wait);
    }

    #[test]
    fn the_first_of_the_queue_take_the_free_locks() {
        let leases = [held(1, "a"), free(2), ticket(4, "y"), ticket(3, "z"), ticket(5, "w")];
        let next = |nonce: &str, count| contender(count, nonce).next(&leases, &none(), false);
        assert_eq!(
            ["z", "y", "w", "new"].map(|nonce| next(nonce, 2)),
            [Move::Take(2), Move::Wait, Move::Wait, Move::Wait]
        );
        // Each contender has a lock to take, and a newcomer takes what is left.
        assert_eq!(["z", "y", "w"].map(|nonce| next(nonce, 4)), [Move::Take(2), Move::Take(3), Move::Take(4)]);
        assert_eq!((next("new", 4), next("new", 5)), (Move::Wait, Move::Take(5)));
        // The last attempt takes what is free, also before others.
        assert_eq!(contender(2, "w").next(&leases, &none(), true), Move::Take(2));
    }

    #[test]
    fn contenders_that_wait_no_more_do_not_count() {
        let leases = [held(1, "z"), free(2), ticket(3, "z"), ticket(4, "y"), ticket(5, "w")];
        let next = |nonce: &str, expired: &[&str]| contender(2, nonce).next(&leases, &these(expired), false);
        // z holds a lock, so it only has not deleted its ticket yet.
        assert_eq!((next("y", &[]), next("w", &[])), (Move::Take(2), Move::Wait));
        assert_eq!(next("w", &["backup-ns-n1-wait-y"]), Move::Take(2));
        // An expired ticket counts for its own owner.
        assert_eq!(next("y", &["backup-ns-n1-wait-y"]), Move::Take(2));
    }

    #[test]
    fn tickets_are_numbered_and_a_tie_is_broken_by_name() {
        let me = contender(1, "me");
        let turn = |leases: &[Lease], had| me.queued(leases, had, now()).0;
        assert_eq!((turn(&[], None), turn(&[ticket(6, "a"), held(1, "b")], None)), (1, 7));
        assert_eq!(turn(&[ticket(6, "a")], Some(2)), 2);
        let mut unread = ticket(9, "c");
        unread.metadata.annotations.clear();
        assert_eq!(turn(&[ticket(6, "a"), unread.clone()], None), 7);
        let leases = [free(1), ticket(6, "b"), ticket(6, "a"), unread];
        let next = |nonce: &str| contender(1, nonce).next(&leases, &none(), false);
        assert_eq!((next("a"), next("b"), next("c")), (Move::Take(1), Move::Wait, Move::Wait));
    }

    #[test]
    fn a_lease_expires_after_it_was_watched_for_its_time() {
        let at = Duration::from_secs;
        let mut watched = Watched::default();
        let mut see = |lease: &Lease, asked, answered| {
            let expired = watched.see(std::slice::from_ref(lease), at(asked), at(answered));
            assert!(expired.is_empty() || expired == these(&["backup-ns-n1-1"]));
            !expired.is_empty()
        };
        let lease = held(1, "a");
        // The time runs from the answer to the next request.
        assert!(!see(&lease, 0, 5) && !see(&lease, 30, 31) && !see(&lease, 60, 61) && !see(&lease, 64, 70));
        assert!(see(&lease, 65, 70));
        let renewed = stored(contender(1, "a").renewed(&lease, now()), 2);
        assert!(!see(&renewed, 75, 80) && !see(&renewed, 109, 110) && !see(&renewed, 139, 139));
        assert!(see(&renewed, 140, 140));
        // Each Lease lasts for its own duration.
        let mut short = held(1, "b");
        short.spec.lease_duration_seconds = Some(4);
        short.metadata.resource_version = "3".into();
        assert!(!see(&short, 150, 150) && !see(&short, 152, 152) && see(&short, 154, 154));
        // After a gap, and for a Lease that was away, the watch starts again.
        assert!(!see(&lease, 200, 200) && !see(&lease, 229, 230) && !see(&lease, 231, 261) && !see(&lease, 290, 291));
        assert!(see(&lease, 321, 321));
        assert_eq!(watched.see(&[], at(322), at(322)), none());
        assert_eq!(watched.see(std::slice::from_ref(&lease), at(323), at(323)), none());
    }

    #[test]
    fn manifests_are_those_of_kubernetes_own_leader_election() {
        let me = contender(1, "me");
        let first = me.taken(1, &[], now());
        assert_eq!(
            first,
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "backup-ns-n1-1", "labels": {"backup-ns.sh/lock-node": "n1"}, "annotations": {}},
                "spec": {
                    "holderIdentity": "root@host (process 7) me", "leaseDurationSeconds": 60, "leaseTransitions": 0,
                    "acquireTime": "2027-01-15T08:00:00.123456Z", "renewTime": "2027-01-15T08:00:00.123456Z",
                },
            })
        );
        let later = now() + chrono::TimeDelta::seconds(20);
        let mut lease = stored(first, 5);
        lease.metadata.labels.insert("other".into(), "kept".into());
        let renewed = me.renewed(&lease, later);
        assert_eq!(renewed["metadata"]["resourceVersion"], "5");
        assert_eq!(renewed["metadata"]["labels"]["other"], "kept");
        assert_eq!(renewed["spec"]["acquireTime"], "2027-01-15T08:00:00.123456Z");
        assert_eq!(renewed["spec"]["renewTime"], "2027-01-15T08:00:20.123456Z");
        assert_eq!(renewed["spec"]["holderIdentity"], "root@host (process 7) me");
        let released = stored(me.released(&lease, later), 6);
        assert_eq!((released.holder(), released.spec.lease_transitions), (None, Some(0)));
        let again = contender(1, "you").taken(1, &[released], later);
        assert_eq!(again["metadata"]["resourceVersion"], "6");
        assert_eq!(
            (&again["spec"]["leaseTransitions"], &again["spec"]["acquireTime"]),
            (&json!(1), &renewed["spec"]["renewTime"])
        );
    }

    #[test]
    fn holders_are_named_without_their_nonce() {
        let leases = [held(1, "a"), free(2), ticket(1, "b")];
        let since = "since 2027-01-15T08:00:00.123456Z";
        assert_eq!(slots(2).holders(&leases), [format!("backup-ns-n1-1 by root@host (process 7) {since}")]);
        assert_eq!(slots(2).waiting(&leases), 1);
        let at = DateTime::parse_from_rfc3339("2027-01-15T08:00:00.123456Z").unwrap().to_utc();
        let taken = |name: &str| LeaseState {
            name: name.into(),
            holder: Some("root@host (process 7)".into()),
            since: Some(at),
        };
        let free = |name: &str| LeaseState { name: name.into(), holder: None, since: None };
        let states = [taken("backup-ns-n1-1"), free("backup-ns-n1-2"), free("backup-ns-n1-3")];
        assert_eq!(slots(3).states(&leases), states);
        // The fourth is from when there were more.
        assert_eq!(slots(1).states(&[held(4, "a")]), [free("backup-ns-n1-1"), taken("backup-ns-n1-4")]);
    }

    proptest! {
        #[test]
        fn names_and_labels_of_any_node_are_valid(node in "[a-z0-9]([a-z0-9-]{0,120}[a-z0-9])?(\\.[a-z0-9]{1,60}){0,2}") {
            let slots = Slots::new(&node, 1, MINUTE);
            let ticket = Contender::new(&slots, "h", "abcdefghij").queued(&[], None, now()).1;
            for name in [&slots.name(10_000), ticket["metadata"]["name"].as_str().unwrap()] {
                prop_assert!(name::check_name(name).is_ok(), "{name}");
            }
            let label = ticket["metadata"]["labels"][labels::LOCK_NODE].as_str().unwrap();
            prop_assert!(labels::check_value(label).is_ok(), "{label}");
        }

        /// For any queue: contenders that read the same Leases want different locks, and every free lock is wanted.
        #[test]
        fn contenders_that_read_the_same_leases_want_different_locks(
            count in 1u32..5, taken in proptest::collection::vec(any::<bool>(), 4), turns in proptest::collection::vec(0u64..4, 1..8)
        ) {
            let locks = (1..=4).zip(&taken).map(|(number, taken)| if *taken { held(number, "other") } else { free(number) });
            let nonce = |nth: usize| format!("w{}", char::from(b'a' + nth as u8));
            let tickets = turns.iter().enumerate().map(|(nth, turn)| ticket(*turn, &nonce(nth)));
            let leases: Vec<Lease> = locks.chain(tickets).collect();
            let moves = (0..turns.len()).map(|nth| contender(count, &nonce(nth)).next(&leases, &none(), false));
            let wanted: Vec<u32> = moves.filter_map(|next| if let Move::Take(number) = next { Some(number) } else { None }).collect();
            let free = taken.iter().take(count as usize).filter(|taken| !**taken).count();
            prop_assert_eq!(wanted.len(), free.min(turns.len()));
            prop_assert_eq!(wanted.iter().collect::<BTreeSet<_>>().len(), wanted.len());
            prop_assert!(wanted.iter().all(|number| *number <= count && !taken[*number as usize - 1]));
        }
    }
}
