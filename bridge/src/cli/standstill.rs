//! What a stop or a cancel finds and does, in words (requirements X18).

use super::group::robots;
use rollcall_engine::Standstill;

/// What will become of the robots; `waiting` says it of those that were not told.
pub(super) fn table(found: &Standstill, waiting: &str) -> String {
    let Standstill {
        updated,
        installing,
        told,
        waiting: wait,
        not_updated,
    } = found;
    format!(
        "  {wait:>6} wait        {waiting}\n  \
         {told:>6} were told   and do not install yet: they are told to give up; what each then does decides\n  \
         {installing:>6} install     and finish\n  \
         {updated:>6} are updated\n  \
         {not_updated:>6} ended       without the update"
    )
}

/// What it has begun.
pub(super) fn after(found: &Standstill) -> String {
    let mut parts = Vec::new();
    if found.told > 0 {
        parts.push(format!("{} told to give up", robots(found.told)));
    }
    if found.installing > 0 {
        parts.push(format!("{} left to finish", robots(found.installing)));
    }
    if parts.is_empty() {
        parts.push("no robot is under way".to_owned());
    }
    parts.join(", ")
}
