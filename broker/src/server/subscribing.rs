//! SUBSCRIBE and UNSUBSCRIBE: each filter judged by itself.

use super::refusals::cut;
use super::serving::Served;
use super::task::Line;
use crate::access::SubscribeAccess;
use crate::codec::{PropertyId, QoS, ReasonCode, Subscribe, Subscription, Unsubscribe, topic};
use crate::connection::Close;
use crate::event::{DisconnectReason, Event};
use crate::metrics::Count;

/// Why a filter is refused, and what counts it.
struct Refused {
    count: Count,
    code: ReasonCode,
    why: String,
}

impl Served {
    pub(super) fn subscribe(
        &mut self,
        line: &Line,
        subscribe: &Subscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let identifier = subscribe
            .properties
            .number(PropertyId::SubscriptionIdentifier);
        let mut codes = Vec::with_capacity(subscribe.subscriptions.len());
        let mut first_why = None;
        for subscription in &subscribe.subscriptions {
            codes.push(match self.grant(line, subscription, identifier) {
                Ok(granted) => match granted {
                    QoS::AtMostOnce => ReasonCode::Success,
                    QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                    QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                },
                Err(refused) => {
                    self.note_refused(line, &subscription.filter, &refused);
                    first_why.get_or_insert(refused.why);
                    refused.code
                }
            });
            // Asks again and again for what it does not read. A packet has room for thousands of filters, so this is not
            // left for its end.
            if self.retained.len() > line.hub.limits.max_retained_messages {
                return Err(Close::because(DisconnectReason::QueueFull));
            }
        }
        let noted = line.hub.save(self.key);
        self.connection
            .subscribed(subscribe.packet_id, codes, first_why.as_deref(), noted, out)?;
        Ok(())
    }

    /// Counts a refusal, and says it in the log unless a client says too much.
    fn note_refused(&self, line: &Line, filter: &str, refused: &Refused) {
        line.hub.metrics.one(refused.count);
        let client_id = cut(&self.principal.client_id);
        let (filter, why) = (cut(filter), cut(&refused.why));
        if let Some(unsaid) = line.hub.refused_subscriptions.may_log() {
            tracing::info!(client_id, filter, why, unsaid, "subscription refused");
        } else {
            tracing::debug!(client_id, filter, why, "subscription refused");
        }
    }

    fn grant(
        &mut self,
        line: &Line,
        subscription: &Subscription,
        identifier: Option<u32>,
    ) -> Result<QoS, Refused> {
        let filter = &*subscription.filter;
        let wanted = match topic::shared(filter) {
            topic::Shared::No => filter,
            topic::Shared::Yes { filter, .. } => filter,
            topic::Shared::Malformed => {
                return Err(Refused {
                    count: Count::SharedSubscriptionMalformed,
                    code: ReasonCode::TopicFilterInvalid,
                    why: "a shared subscription is $share/<group>/<filter>, its group without wildcards".into(),
                });
            }
        };
        if topic::levels(wanted) > line.hub.limits.max_topic_levels {
            return Err(Refused {
                count: Count::TopicTooDeep,
                code: ReasonCode::TopicFilterInvalid,
                why: "filter has too many levels".into(),
            });
        }
        let max_qos = match line.hub.access.subscribe(&self.principal, wanted) {
            SubscribeAccess::Grant { max_qos } => max_qos,
            SubscribeAccess::Deny { why } => {
                return Err(Refused {
                    count: Count::SubscribeDenied,
                    code: ReasonCode::NotAuthorized,
                    why: why.into(),
                });
            }
        };
        let mut options = subscription.options;
        options.qos = options.qos.min(max_qos);
        let retained = line
            .hub
            .subscribe(self.key, filter, options, identifier)
            .map_err(|code| Refused {
                count: Count::SubscriptionLimit,
                code,
                why: "too many subscriptions".into(),
            })?;
        self.retained.extend(retained);
        line.mailbox.subscribed(filter, options.qos);
        if self.principal.tag != 0 {
            let event = Event::Subscribed {
                connection: line.mailbox.id(),
                tag: self.principal.tag,
                filter: filter.to_owned(),
                granted: options.qos,
            };
            self.report(line, event);
        }
        Ok(options.qos)
    }

    pub(super) fn unsubscribe(
        &mut self,
        line: &Line,
        unsubscribe: &Unsubscribe,
        out: &mut Vec<u8>,
    ) -> Result<(), Close> {
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let existed = line.hub.unsubscribe(self.key, filter);
            line.mailbox.unsubscribed(filter);
            if existed && self.principal.tag != 0 {
                let event = Event::Unsubscribed {
                    connection: line.mailbox.id(),
                    tag: self.principal.tag,
                    filter: filter.to_string(),
                };
                self.report(line, event);
            }
            codes.push(if existed {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            });
        }
        let noted = line.hub.save(self.key);
        self.connection
            .unsubscribed(unsubscribe.packet_id, codes, noted, out)
    }
}
