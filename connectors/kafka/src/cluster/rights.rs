//! What the login of a connection may do, as brokers tell it with the description of a topic or
//! group.
#![expect(unsafe_code, reason = "calls of librdkafka that exist in C only")]

use std::collections::BTreeSet;
use std::ffi::c_char;
use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;
use sys::rd_kafka_AclOperation_t as Operation;
use sys::rd_kafka_admin_op_t as Op;

use super::admin::{c_text, call, lent};
use super::{Client, Failed, text};

/// What one may do with a topic or a group. Named as Kafka's tools name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Read its records, or commit offsets to it.
    Read,
    /// Write to it.
    Write,
    /// See that it is there.
    Describe,
    /// See its settings.
    DescribeConfigs,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Right::Read => "Read",
            Right::Write => "Write",
            Right::Describe => "Describe",
            Right::DescribeConfigs => "DescribeConfigs",
        })
    }
}

/// Rights that were told; `None`: the broker tells none.
pub type Rights = Option<BTreeSet<Right>>;

/// # Safety
/// `list` is null or has `count` elements that are alive.
pub(super) unsafe fn rights(list: *const Operation, count: usize) -> Rights {
    // SAFETY: as the caller says.
    let told = unsafe { lent(list, count) };
    let one = |operation: &Operation| match operation {
        Operation::RD_KAFKA_ACL_OPERATION_READ => Some(Right::Read),
        Operation::RD_KAFKA_ACL_OPERATION_WRITE => Some(Right::Write),
        Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some(Right::Describe),
        Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Right::DescribeConfigs),
        _ => None,
    };
    (!told.is_empty()).then(|| told.iter().filter_map(one).collect())
}

/// What may be done with a group; no right at all where not even looking at it is allowed.
pub(super) fn of_group(client: &Client, group: &str, timeout: Duration) -> Result<Rights, Failed> {
    let name = c_text(group)?;
    let mut list: [*const c_char; 1] = [name.as_ptr()];
    let op = Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let event = call(client, op, timeout, |options, queue| {
        // SAFETY: all are alive during the call, which copies what it needs.
        unsafe {
            sys::rd_kafka_DescribeConsumerGroups(
                client.ptr(),
                list.as_mut_ptr(),
                1,
                options,
                queue,
            );
        }
    })?;
    let mut count = 0;
    // SAFETY: the event is alive and the answer to this call; what it lends lives as long as it.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
        if result.is_null() {
            return Err(Code::Fail.into());
        }
        let told = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        let Some(group) = lent(told, count).first() else { return Err(Code::Fail.into()) };
        let error = sys::rd_kafka_ConsumerGroupDescription_error(*group);
        match Code::from(sys::rd_kafka_error_code(error)) {
            Code::NoError => {}
            Code::GroupAuthorizationFailed => return Ok(Some(BTreeSet::new())),
            // Brokers since 4.0: nobody has used it yet, which says nothing of rights.
            Code::GroupIdNotFound => return Ok(None),
            code => {
                let reason = text(sys::rd_kafka_error_string(error));
                return Err(Failed { code, reason });
            }
        }
        let list = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(*group, &mut count);
        Ok(rights(list, count))
    }
}
