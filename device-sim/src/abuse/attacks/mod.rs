//! The attacks, each of one idea.

mod absent_queue;
mod connect_flood;
mod deep_topics;
mod flood;
mod foreign_robots;
mod garbage_payloads;
mod gone;
mod half_open;
mod half_packets;
mod identifier_games;
mod lagging_reader;
mod malformed;
mod mutations;
mod never_acknowledges;
mod non_ascii_topic;
mod other_protocols;
mod oversized;
mod packet_identifier_zero;
mod ping_flood;
mod qos2_release;
mod receive_maximum;
mod reserved_topics;
mod resets;
mod retained_flood;
mod retained_replay;
mod session_flood;
mod silent_connections;
mod slash_client_id;
mod slow_writers;
mod subscription_churn;
mod subscription_flood;
mod takeover_storm;
mod tls_garbage;
mod topic_flood;
mod websocket_garbage;
mod wildcards;
mod wills;
mod wrong_passwords;

use super::attack::Attack;

/// All of them, in the order in which they are made: what has killed brokers first.
pub(super) fn all() -> &'static [Attack] {
    &[
        non_ascii_topic::ATTACK,
        slash_client_id::ATTACK,
        resets::ATTACK,
        silent_connections::ATTACK,
        packet_identifier_zero::ATTACK,
        qos2_release::ATTACK,
        lagging_reader::ATTACK,
        malformed::CONNECT,
        malformed::V4,
        malformed::V5,
        mutations::ATTACK,
        other_protocols::ATTACK,
        identifier_games::ATTACK,
        receive_maximum::ATTACK,
        never_acknowledges::ATTACK,
        half_open::ATTACK,
        half_packets::ATTACK,
        oversized::ATTACK,
        slow_writers::ATTACK,
        ping_flood::ATTACK,
        connect_flood::ATTACK,
        takeover_storm::ATTACK,
        session_flood::ATTACK,
        absent_queue::ATTACK,
        subscription_flood::ATTACK,
        subscription_churn::ATTACK,
        wildcards::ATTACK,
        deep_topics::ATTACK,
        topic_flood::ATTACK,
        retained_flood::ATTACK,
        retained_replay::ATTACK,
        reserved_topics::ATTACK,
        wills::RESERVED,
        wills::STORM,
        wills::FOREIGN,
        wrong_passwords::ATTACK,
        foreign_robots::ATTACK,
        garbage_payloads::ATTACK,
        tls_garbage::ATTACK,
        websocket_garbage::ATTACK,
    ]
}
