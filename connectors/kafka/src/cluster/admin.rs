//! Requests that the safe crate does not offer or answers only through a client of its own: topics
//! with their ids, settings, creation.
//!
//! Each goes the same way: options with a time limit, the call, one event on a queue of its own,
//! what it holds copied out. Whatever is made for the call is given back by a guard.
#![expect(unsafe_code, reason = "calls of librdkafka that exist in C only")]

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Op;

use super::{Client, Event, Failed, NewTopic, Queue, Topic, millis, rights, text};

/// What the options, and the reasons of a refusal, have room for.
const REASON_BYTES: usize = 512;

/// Something of librdkafka that is given back when dropped.
struct Owned<T> {
    ptr: *mut T,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: made by the call that belongs to `give_back`, owned, and not used again.
        unsafe { (self.give_back)(self.ptr) }
    }
}

impl<T> Owned<T> {
    fn new(ptr: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Result<Self, Failed> {
        match ptr.is_null() {
            true => Err(Code::InvalidArgument.into()),
            false => Ok(Owned { ptr, give_back }),
        }
    }
}

pub(super) fn c_text(text: &str) -> Result<CString, Failed> {
    CString::new(text).map_err(|_| Failed {
        code: Code::InvalidArgument,
        reason: format!("{text:?} holds a zero byte"),
    })
}

type Options = Owned<sys::rd_kafka_AdminOptions_t>;

/// Makes one admin call and waits for its event.
pub(super) fn call(
    client: &Client,
    op: Op,
    timeout: Duration,
    begin: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Event, Failed> {
    // SAFETY: the client is alive, and lives longer than options and queue.
    let (options, queue) = unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client.ptr(), op);
        let options: Options = Owned::new(options, sys::rd_kafka_AdminOptions_destroy)?;
        (options, Queue::own(sys::rd_kafka_queue_new(client.ptr())))
    };
    let mut reason = [0; REASON_BYTES];
    // SAFETY: options and buffer are alive, and the length is the buffer's.
    let error = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options.ptr,
            millis(timeout),
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if Code::from(error) != Code::NoError {
        return Err(Code::from(error).into());
    }
    if matches!(
        op,
        Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS | Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS
    ) {
        // SAFETY: the options are alive; the error, of a kind of request that has no such option,
        // would be ours to give back.
        let refused =
            unsafe { sys::rd_kafka_AdminOptions_set_include_authorized_operations(options.ptr, 1) };
        drop(Owned::new(refused, sys::rd_kafka_error_destroy));
    }
    begin(options.ptr, queue.ptr());
    // The call has its limit; the event comes a moment behind it at the latest.
    let event = queue.event(timeout + Duration::from_secs(1));
    let event = event.ok_or_else(|| Failed::from(Code::OperationTimedOut))?;
    match event.error() {
        Some((code, reason)) => Err(Failed { code, reason }),
        None => Ok(event),
    }
}

/// A list that librdkafka lends.
///
/// # Safety
/// `list` is null or has `count` elements, which live as long as `'a`.
pub(super) unsafe fn lent<'a, T>(list: *const T, count: usize) -> &'a [T] {
    match list.is_null() {
        true => &[],
        // SAFETY: as the caller says.
        false => unsafe { slice::from_raw_parts(list, count) },
    }
}

/// What is told of each topic, by name.
pub(super) type Described = Vec<(String, Result<Topic, Failed>)>;

pub(super) fn describe_topics(
    client: &Client,
    topics: &[String],
    timeout: Duration,
) -> Result<Described, Failed> {
    let names = topics.iter().map(|topic| c_text(topic)).collect::<Result<Vec<_>, _>>()?;
    let mut list: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names are alive; they are copied.
    let asked =
        unsafe { sys::rd_kafka_TopicCollection_of_topic_names(list.as_mut_ptr(), list.len()) };
    let asked = Owned::new(asked, sys::rd_kafka_TopicCollection_destroy)?;
    let event = call(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout, |options, queue| {
        // SAFETY: all four are alive during the call, which copies what it needs.
        unsafe { sys::rd_kafka_DescribeTopics(client.ptr(), asked.ptr, options, queue) }
    })?;
    let mut count = 0;
    // SAFETY: the event is alive and, having no error, the answer to this call; the list lives as
    // long as it.
    let told = unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        lent(sys::rd_kafka_DescribeTopics_result_topics(result, &mut count), count)
    };
    Ok(told.iter().map(|topic| topic_of(*topic)).collect())
}

fn topic_of(told: *const sys::rd_kafka_TopicDescription_t) -> (String, Result<Topic, Failed>) {
    let (mut count, mut replicas) = (0, 0);
    // SAFETY: `told` is an element of a list that is alive, and so is what it lends.
    let (name, code, reason, id, fewest, rights) = unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(told));
        let error = sys::rd_kafka_TopicDescription_error(told);
        let code = Code::from(sys::rd_kafka_error_code(error));
        let reason = text(sys::rd_kafka_error_string(error));
        let mut told_rights = 0;
        let operations =
            sys::rd_kafka_TopicDescription_authorized_operations(told, &mut told_rights);
        let rights = rights::rights(operations, told_rights);
        let partitions = sys::rd_kafka_TopicDescription_partitions(told, &mut count);
        let fewest = lent(partitions, count).iter().map(|partition| {
            sys::rd_kafka_TopicPartitionInfo_replicas(*partition, &mut replicas);
            replicas
        });
        let fewest = fewest.min().unwrap_or(0);
        let id = sys::rd_kafka_TopicDescription_topic_id(told);
        let known = !id.is_null() && sys::rd_kafka_Uuid_most_significant_bits(id) != 0;
        let id = known.then(|| text(sys::rd_kafka_Uuid_base64str(id)));
        (name, code, reason, id, fewest, rights)
    };
    if code != Code::NoError {
        return (name, Err(Failed { code, reason }));
    }
    let partitions = i32::try_from(count).unwrap_or(i32::MAX);
    let topic = Topic { name: Arc::from(name.as_str()), id, partitions, replicas: fewest, rights };
    (name, Ok(topic))
}

type Settings = BTreeMap<String, String>;

pub(super) fn settings(
    client: &Client,
    topic: &str,
    timeout: Duration,
) -> Result<Result<Settings, Failed>, Failed> {
    let name = c_text(topic)?;
    let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name is alive and copied.
    let asked = unsafe { sys::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    let asked = Owned::new(asked, sys::rd_kafka_ConfigResource_destroy)?;
    let mut list = [asked.ptr];
    let event = call(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, |options, queue| {
        // SAFETY: all are alive during the call, which copies what it needs.
        unsafe {
            sys::rd_kafka_DescribeConfigs(client.ptr(), list.as_mut_ptr(), 1, options, queue);
        }
    })?;
    let mut count = 0;
    // SAFETY: the event is alive and the answer to this call; the lists live as long as it, and
    // what they hold is copied.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConfigs_result(event.ptr());
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        let told = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        let Some(resource) = lent(told, count).first() else { return Ok(Ok(Settings::new())) };
        let code = Code::from(sys::rd_kafka_ConfigResource_error(*resource));
        if code != Code::NoError {
            let reason = text(sys::rd_kafka_ConfigResource_error_string(*resource));
            return Ok(Err(Failed { code, reason }));
        }
        let entries = sys::rd_kafka_ConfigResource_configs(*resource, &mut count);
        let entries = lent(entries, count).iter();
        let pair = |entry: &*const sys::rd_kafka_ConfigEntry_t| {
            let value = sys::rd_kafka_ConfigEntry_value(*entry);
            let name = text(sys::rd_kafka_ConfigEntry_name(*entry));
            // A secret has no value: it is unknown.
            (!value.is_null()).then(|| (name, text(value)))
        };
        Ok(Ok(entries.filter_map(pair).collect()))
    }
}

pub(super) fn create(
    client: &Client,
    topic: &NewTopic,
    timeout: Duration,
) -> Result<Result<(), Failed>, Failed> {
    let wanted = wanted(topic)?;
    let mut list = [wanted.ptr];
    let event = call(client, Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, |options, queue| {
        // SAFETY: all are alive during the call, which copies what it needs.
        unsafe { sys::rd_kafka_CreateTopics(client.ptr(), list.as_mut_ptr(), 1, options, queue) }
    })?;
    let mut count = 0;
    // SAFETY: the event is alive and the answer to this call; the list lives as long as it.
    unsafe {
        let result = sys::rd_kafka_event_CreateTopics_result(event.ptr());
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        let told = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
        only(told, count)
    }
}

/// What became of the one topic that was asked about.
///
/// # Safety
/// `told` is null or has `count` results that are alive.
unsafe fn only(
    told: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Result<Result<(), Failed>, Failed> {
    // SAFETY: as the caller says.
    unsafe {
        let Some(told) = lent(told, count).first() else { return Err(Code::Fail.into()) };
        match Code::from(sys::rd_kafka_topic_result_error(*told)) {
            Code::NoError => Ok(Ok(())),
            code => {
                let reason = text(sys::rd_kafka_topic_result_error_string(*told));
                Ok(Err(Failed { code, reason }))
            }
        }
    }
}

pub(super) fn delete(
    client: &Client,
    topic: &str,
    timeout: Duration,
) -> Result<Result<(), Failed>, Failed> {
    let name = c_text(topic)?;
    // SAFETY: the name is alive and copied.
    let wanted = unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) };
    let wanted = Owned::new(wanted, sys::rd_kafka_DeleteTopic_destroy)?;
    let mut list = [wanted.ptr];
    let event = call(client, Op::RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout, |options, queue| {
        // SAFETY: all are alive during the call, which copies what it needs.
        unsafe { sys::rd_kafka_DeleteTopics(client.ptr(), list.as_mut_ptr(), 1, options, queue) }
    })?;
    let mut count = 0;
    // SAFETY: the event is alive and the answer to this call; the list lives as long as it.
    unsafe {
        let result = sys::rd_kafka_event_DeleteTopics_result(event.ptr());
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        let told = sys::rd_kafka_DeleteTopics_result_topics(result, &mut count);
        only(told, count)
    }
}

fn wanted(topic: &NewTopic) -> Result<Owned<sys::rd_kafka_NewTopic_t>, Failed> {
    let name = c_text(&topic.name)?;
    let mut reason = [0; REASON_BYTES];
    let replicas = topic.replicas.unwrap_or(-1);
    // SAFETY: name and buffer are alive, and the length is the buffer's.
    let wanted = unsafe {
        sys::rd_kafka_NewTopic_new(
            name.as_ptr(),
            topic.partitions,
            replicas,
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if wanted.is_null() {
        // SAFETY: the buffer ends with a zero byte, as librdkafka left it.
        let reason = unsafe { text(reason.as_ptr()) };
        return Err(Failed { code: Code::InvalidArgument, reason });
    }
    let wanted = Owned::new(wanted, sys::rd_kafka_NewTopic_destroy)?;
    for (name, value) in &topic.settings {
        let (name, value) = (c_text(name)?, c_text(value)?);
        // SAFETY: topic and texts are alive; they are copied.
        let error =
            unsafe { sys::rd_kafka_NewTopic_set_config(wanted.ptr, name.as_ptr(), value.as_ptr()) };
        if Code::from(error) != Code::NoError {
            return Err(Code::from(error).into());
        }
    }
    Ok(wanted)
}
